"""Corrupt checkpoints, load them, and judge; as a program: `python -m tests.checkpoint.corruption_run FIRST_SEED COUNT`.

Each corruption comes from its own seed. Every folder has to be refused with one of the package's errors, or to give the weights
that the `safetensors` library reads from the same files. It is also checked that nothing outside the folder is opened,
that nothing is unpickled, started or fetched, and that memory stays in proportion.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open

from ovis2_ref.checkpoint.loading import StreamedWeights, load_weights, read_config, read_generation_config
from ovis2_ref.checkpoint.weight_files import open_weights
from ovis2_ref.errors import OvisError
from ovis2_ref.generation.config import merged_settings
from ovis2_ref.text.processor import Ovis2Processor
from tests.checkpoint.corruption import OUTSIDE, corrupt, restore
from tests.checkpoint.folders import copy_original_checkpoint, write_transformers_checkpoint
from tests.checkpoint.memory import forget_peak, peak_bytes
from tests.oracle import to_numpy

MEMORY = 64 * 2**20
"""Bytes that one folder of 2 MB may take: the longest JSON that is read (4 MiB) takes some 16 times its size."""


class Watch:
    """The interpreter's audit events while it is on: files opened, and actions that loading a checkpoint must not cause."""

    def __init__(self):
        self.on = False
        self.opened: list[str] = []
        self.deeds: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if not self.on:
            return
        if event == "open" and isinstance(arguments[0], str):
            self.opened.append(arguments[0])
        elif event.startswith(
            ("pickle.", "os.system", "os.exec", "os.posix_spawn", "subprocess.", "socket.", "ctypes.")
        ):
            self.deeds.append(event)


def load_everything(folder, convention):
    """Return all that `from_pretrained` of model and processor reads."""
    config = read_config(folder, convention)
    weights = load_weights(folder, config)
    streamed = StreamedWeights(folder, config)
    assert all(np.array_equal(streamed[name], weights[name]) for name in weights)
    merged_settings(read_generation_config(folder), {})
    Ovis2Processor.from_pretrained(folder, convention)
    return weights


def assert_read_as_the_library_reads(folder, weights):
    """Each weight's bits against those of the file's tensor of that name, or a third of one."""
    files = [safe_open(path, "pt") for path in folder.glob("*.safetensors")]
    theirs = {key: file for file in files for key in file.keys()}  # noqa: SIM118  it is no dictionary
    for name, tensor in open_weights(folder).items():
        if name in weights:
            whole = to_numpy(theirs[tensor.key].get_tensor(tensor.key).float())
            parts = ("q_proj", "k_proj", "v_proj")
            which = next((i for i, part in enumerate(parts) if ".qkv." in tensor.key and part in name), None)
            expected = whole if which is None else np.split(whole, 3)[which]
            assert weights[name].tobytes() == expected.tobytes(), name


def run(seeds, room, work, watch):
    """Corrupt, load, judge, once for each seed; how many were refused, how many loaded, and the most memory for one."""
    folder, counts, largest = work / "checkpoint", {"refused": 0, "loaded": 0}, 0
    (work / OUTSIDE).write_text("{}")
    for seed in seeds:
        chance = random.Random(seed)
        restore(folder, room / chance.choice(["transformers", "transformers", "original"]))
        what = corrupt(folder, chance)
        watch.opened.clear()
        forget_peak()
        before = peak_bytes()
        watch.on = True
        try:
            weights = load_everything(folder, chance.choice(["transformers", "original"]))
        except OvisError as error:
            counts["refused"] += 1
            str(error).encode()
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {what}: {error!r:.500}") from error
        else:
            counts["loaded"] += 1
            watch.on = False
            assert_read_as_the_library_reads(folder, weights)
        finally:
            watch.on = False
        grown = peak_bytes() - before
        largest = max(largest, grown)
        assert grown < MEMORY, f"seed {seed}, {what}: {grown} bytes"
        strangers = [path for path in watch.opened if not path.startswith((str(folder), sys.prefix, sys.base_prefix))]
        assert not strangers, f"seed {seed}, {what}: opened {strangers}"
        assert not watch.deeds, f"seed {seed}, {what}: {watch.deeds}"
    return {**counts, "largest_growth_bytes": largest}


def main() -> None:
    """Corrupt COUNT folders from FIRST_SEED on; print, as JSON, how many were refused and loaded, and the most memory for one."""
    first, count = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as room, tempfile.TemporaryDirectory() as work:
        pristine = Path(room)
        write_transformers_checkpoint(pristine / "transformers")
        copy_original_checkpoint(pristine / "original")
        for layout in ("transformers", "original"):  # what isn't corrupted loads, and imports what is imported late
            for convention in ("transformers", "original"):
                load_everything(pristine / layout, convention)
        figures = run(range(first, first + count), pristine, Path(work), Watch())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
