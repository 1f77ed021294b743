"""Do the tests of a formula notice a change of it? `python -m tests.mutation COUNT [SEED]` draws mutants of ops, vision and
language (changes as `tests.exercises.mutants` makes them of answers), runs the tests of their rooms, and prints those that pass.

Exit status 1 if any passes that isn't in `EQUIVALENT`. A mutant takes 5 to 30 seconds, in a copy of the package.
"""

import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.exercises.mutants import changes, difference

ROOT = Path(__file__).parent.parent
TESTS = {
    "ovis2_ref/ops.py": ("tests/test_ops.py",),
    "ovis2_ref/vision/encoder.py": ("tests/vision/test_modules.py", "tests/vision/test_original.py"),
    "ovis2_ref/vision/visual_tokenizer.py": ("tests/vision/test_visual_tokenizer.py", "tests/vision/test_modules.py"),
    "ovis2_ref/language/rope.py": ("tests/language/test_rope.py",),
    "ovis2_ref/language/attention.py": ("tests/language/test_decoder.py",),
    "ovis2_ref/language/decoder.py": ("tests/language/test_decoder.py",),
    "ovis2_ref/language/masks.py": ("tests/language/test_masks.py", "tests/language/test_decoder.py"),
}
"""The files of formulas, and the tests that have to notice."""

EQUIVALENT: set[str] = set()
"""Changes, as `difference` prints them, that compute the same."""


def mutants(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (what is changed, the file's new text) for every change in the body of a function, texts left out."""
    tree = ast.parse(path.read_text())
    seen = {ast.unparse(tree)}
    for number, part in enumerate(tree.body):
        if not isinstance(part, ast.FunctionDef):
            continue
        for place, node in enumerate(ast.walk(ast.Module(part.body[1:], []))):
            for change in () if is_text(node) else changes(node):
                mutant = copy.deepcopy(tree)
                body = ast.Module(mutant.body[number].body[1:], [])  # type: ignore[attr-defined]
                change(next(n for i, n in enumerate(ast.walk(body)) if i == place))
                mutant.body[number].body[1:] = body.body  # type: ignore[attr-defined]
                text = ast.unparse(mutant)
                if text not in seen:
                    seen.add(text)
                    yield difference(ast.unparse(tree), text), f"{text}\n\ndef _same(x):\n    return x\n"


def is_text(node: ast.AST) -> bool:
    """Return True for a text, the name of a tap or of a weight; golden files hold those."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def passes(name: str, text: str) -> bool:
    """Return True if the tests of the file called `name` pass where it holds `text`."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("ovis2_ref", "tests", "pyproject.toml"):
            source, target = ROOT / part, Path(folder) / part
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        (Path(folder) / name).write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS[name]]
        variables = {**os.environ, "HYPOTHESIS_PROFILE": "quick", "PYTHONPATH": folder}
        try:
            return subprocess.run(command, cwd=folder, env=variables, capture_output=True, timeout=120).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def main(count: int, seed: int) -> int:
    """Try `count` mutants, print those that pass, and return the exit status."""
    made = [(name, what, text) for name in TESTS for what, text in mutants(ROOT / name) if "raise " not in what]
    drawn = random.Random(seed).sample(made, min(count, len(made)))
    alive = [f"{name}: {what}" for name, what, text in drawn if what not in EQUIVALENT and passes(name, text)]
    print(*alive, f"{len(drawn)} of {len(made)} mutants, {len(alive)} pass the tests", sep="\n")
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
