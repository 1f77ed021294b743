"""Corrupted checkpoints, hundreds in the normal run and 20,000 in the long one (-m slow), each from its own seed: every one is
either refused with one of the package's errors, or gives the weights that the `safetensors` library reads from the same files.
Watched besides: nothing outside the folder is opened, nothing is unpickled, started or fetched, memory stays in proportion.
"""

import json
import os
import random
import resource
import shutil
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from ovis2_ref.checkpoint.loading import load_weights, read_config, read_generation_config
from ovis2_ref.checkpoint.streaming import StreamedWeights
from ovis2_ref.checkpoint.weight_files import open_weights
from ovis2_ref.errors import OvisError
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.text.processor import Ovis2Processor
from tests.checkpoint.corruption import OUTSIDE, corrupt, restore
from tests.oracle import reference_model, to_numpy

GOLDEN = Path(__file__).parents[1] / "golden_original" / "checkpoint"
MEMORY = 64 * 2**20
"""Bytes at most for a folder of 2 MB: the largest JSON that is read (4 MiB) takes some 16 times its size."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, small_config):
    """A folder for each layout: transformers' with shards, made from the authors' tokenizer, and the authors' own."""
    room = tmp_path_factory.mktemp("pristine")
    shutil.copytree(GOLDEN, room / "original")
    for path in (room / "original").iterdir():
        path.chmod(0o644)
    config = read_config(GOLDEN)
    ids = {"image_token_id": config.image_token_id, "visual_indicator_token_ids": config.visual_indicator_token_ids}
    text = replace(small_config.text_config, vocab_size=config.vocab_size)
    vision = replace(small_config.vision_config, image_size=56, patch_size=14)
    small = replace(small_config, vision_config=vision, text_config=text, vocab_size=config.vocab_size, **ids)
    reference_model(small, 0, "bfloat16").save_pretrained(room / "transformers", max_shard_size="40KB")
    Ovis2Processor.from_pretrained(GOLDEN).save_pretrained(room / "transformers")
    assert len(list((room / "transformers").glob("*.safetensors"))) > 1
    return room


class Watch:
    """What the interpreter reports while it is on: files opened, and deeds that a checkpoint has no business with."""

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


@pytest.fixture(scope="module")
def watch():
    return Watch()


def load_everything(folder, convention):
    """All that `from_pretrained` of model and processor reads."""
    config = read_config(folder, convention)
    weights = load_weights(folder, config)
    streamed = StreamedWeights(folder, config)
    assert all(np.array_equal(streamed[name], weights[name]) for name in weights)
    GenerationSettings.merge(read_generation_config(folder), {})
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
    """Corrupt, load, judge, once for each seed; how many were refused, how many loaded."""
    folder, counts = work / "checkpoint", {"refused": 0, "loaded": 0}
    (work / OUTSIDE).write_text("{}")
    for seed in seeds:
        chance = random.Random(seed)
        restore(folder, room / chance.choice(["transformers", "transformers", "original"]))
        what = corrupt(folder, chance)
        watch.opened.clear()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
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
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < MEMORY, f"seed {seed}, {what}: {peak} bytes"
        strangers = [path for path in watch.opened if not path.startswith((str(folder), sys.prefix, sys.base_prefix))]
        assert not strangers, f"seed {seed}, {what}: opened {strangers}"
        assert not watch.deeds, f"seed {seed}, {what}: {watch.deeds}"
    return counts


@pytest.fixture
def traced():
    """Memory that Python and NumPy take is counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_hundreds(pristine, tmp_path, watch, traced):
    for convention in ("transformers", "original"):  # what isn't corrupted loads, and imports what is imported late
        for layout in ("transformers", "original"):
            load_everything(pristine / layout, convention)
    counts = run(range(400), pristine, tmp_path, watch)
    assert min(counts.values()) > 20, counts


@pytest.mark.slow
def test_twenty_thousand(pristine, tmp_path, watch, traced):
    load_everything(pristine / "transformers", "transformers")
    start, before = 10**6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = run(range(start, start + int(os.environ.get("CORRUPTIONS", 20_000))), pristine, tmp_path, watch)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({**counts, "peak memory grown by (KiB)": grown}))
    assert grown < 400 * 2**10
