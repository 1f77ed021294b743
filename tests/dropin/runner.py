"""Run scripts in one process, and print what each of them printed: `python runner.py transformers|ovis2_ref SCRIPT ...`.

With ovis2_ref the one line `from transformers import` is changed, and nothing else. A script that doesn't import torch runs as in
a process where nobody has: torch is not among the loaded modules then.
"""

import contextlib
import io
import json
import sys
import traceback
import warnings
from pathlib import Path

CHANGED = ("from transformers import", "from ovis2_ref import")


def run(path: Path, library: str) -> str:
    """Return what the script prints, or the traceback that ends it."""
    text = path.read_text()
    assert text.count("transformers import") == 1, f"{path.name} should import from transformers in one line"
    if library == "ovis2_ref":
        text = text.replace(*CHANGED)
        sys.modules.pop("torch", None)
        if "import torch" in text:
            sys.modules["torch"] = TORCH
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(text, str(path), "exec"), {"__name__": "__main__"})
        except BaseException:
            printed.write(traceback.format_exc())
    return printed.getvalue()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import torch as TORCH
    from torch.utils import data  # noqa: F401  loaded once, with torch itself

    torch_threads = TORCH.set_num_threads(1)
    library, *scripts = sys.argv[1:]
    results = {Path(script).name: run(Path(script), library) for script in scripts}
    json.dump({"printed": results, "loaded": "transformers" in sys.modules}, sys.stdout)
