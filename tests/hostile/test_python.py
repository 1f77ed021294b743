"""Wrong calls from Python give the right result or our error; what is returned can be copied and pickled."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovis2_ref import TINY, BatchFeature, GenerationConfig, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.compat.missing import Counterpart
from ovis2_ref.errors import InputError
from tests.hostile.bounded import bounded
from tests.hostile.wrong_calls import MODEL, wrong_call

IDS = np.array([[3, 5, 7, 9]])
ROOT = Path(__file__).parents[2]


def test_three_hundred_wrong_calls() -> None:
    """5,000 of them are in the long run. Several calls to a process: most take a millisecond."""

    def case(first: int) -> list[str]:
        foreign = []
        for seed in range(first, first + 50):
            try:
                wrong_call(seed)()
            except (InputError, ArithmeticError) as error:
                assert isinstance(error, InputError), seed
            except Exception as error:
                foreign.append(f"seed {seed}: {type(error).__name__}: {error!s:.150}")
        return foreign

    for first in range(0, 300, 50):
        outcome = bounded(lambda first=first: case(first), 60)
        assert (outcome.kind, outcome.value) == ("right", []), outcome


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input_ids": [[3], [1, 2]]}, "input_ids should be"),
        ({"input_ids": IDS, "position_ids": [[0, 1]]}, "tokens 4"),
        ({"input_ids": IDS, "labels": [[1, 2, 3, -1]]}, "labels hold -1"),
        ({"input_ids": IDS, "labels": [[1, 2]]}, "don't fit logits"),
        ({"input_ids": IDS, "labels": IDS, "logits_to_keep": 1}, "leave logits_to_keep out"),
        ({"input_ids": IDS, "attention_mask": np.ones((1, 3))}, r"past \+ tokens 4"),
        ({"input_ids": IDS, "past_key_values": [1]}, "past_key_values"),
        ({"inputs_embeds": np.zeros((1, 2, 3), np.float32)}, "hidden 128"),
        ({"inputs_embeds": np.zeros((1, 2, 128), complex)}, "should be floats"),
        ({"input_ids": IDS, "logits_to_keep": -1}, "logits_to_keep=-1"),
    ],
)
def test_messages(given: dict[str, Any], words: str) -> None:
    """What was given and what was expected."""
    with pytest.raises(InputError, match=words):
        MODEL(**given)


def test_wrong_calls_of_every_method() -> None:
    """Some 9,000 of them, in a separate process: see `wrong_methods`."""
    command = [sys.executable, "-m", "tests.hostile.wrong_methods"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    *wrong, count = process.stdout.splitlines()
    assert wrong == []
    assert int(count.split()[0]) > 8000


def test_a_property_that_fails_names_what_it_lacks() -> None:
    """A class with a counterpart in transformers, inputs and settings: `__getattr__` must not answer for the property."""
    for base in (Counterpart, BatchFeature, GenerationConfig):
        kind = type("Broken", (base,), {"whole": property(lambda self: self.absent.part)})
        with pytest.raises(AttributeError, match="absent"):
            kind().whole  # noqa: B018


def test_the_model_without_its_head_is_one_object() -> None:
    """It changes with the whole model, and the whole model with it."""
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    inner = model.model
    assert model.model is inner
    model.set_attn_implementation("sdpa")
    assert inner.fuses_attention
    inner.set_attn_implementation("eager")
    assert not model.fuses_attention
    assert model.half().model is inner
    assert inner.compute_dtype == model.compute_dtype == np.float16


def test_lists_are_arrays() -> None:
    """Whole numbers in nested lists, as transformers' processors return them without return_tensors."""
    assert np.array_equal(MODEL(IDS.tolist(), labels=IDS.tolist()).loss, MODEL(IDS, labels=IDS).loss)


def test_crop() -> None:
    """Negative numbers count from the end, as in transformers; a cache can't be cropped to what it isn't."""
    cache = MODEL(IDS).past_key_values
    cache.crop(-1)
    assert cache.length == 3
    cache.crop(2)
    assert cache.length == 2
    for wrong in (-3, "a", 1.5, None, True):
        with pytest.raises(InputError, match="crop"):
            cache.crop(wrong)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("stream", [False, True])
def test_copies(copied: Any, stream: bool) -> None:
    """Models, streamed ones too, caches, outputs, processors and their inputs."""
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY, stream=stream)
    output = model(IDS)
    twin = copied(model)
    assert twin.convention is model.convention
    assert np.array_equal(twin(IDS).logits, output.logits)
    step = np.array([[11]])
    expected = model(step, past_key_values=copied(output).past_key_values).logits
    assert np.array_equal(model(step, past_key_values=copied(output.past_key_values)).logits, expected)
    processor = copied(Ovis2Processor.from_pretrained(TINY))
    picture = np.zeros((8, 9, 3), np.uint8)
    inputs = copied(processor(images=picture, text="<image>a"))
    assert np.array_equal(inputs["input_ids"], processor(images=picture, text="<image>a").input_ids)


DIGEST = """
import hashlib, sys
import numpy as np
from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor, set_num_threads

set_num_threads(int(sys.argv[1]))
levels = np.random.default_rng(3).integers(0, 255, (90, 130, 3), np.uint8)
inputs = Ovis2Processor.from_pretrained(TINY)(images=levels, text="<image>What is it?")
model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
answer = model.generate(**inputs, max_new_tokens=5, output_logits=True, return_dict_in_generate=True)
values = [inputs["pixel_values"], model(**inputs).logits, *answer.logits]
print(hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest())
"""


def test_the_same_bytes_from_processes_and_numbers_of_threads() -> None:
    """A picture's tiles, a prompt's logits and an answer's: new processes of one thread and of two, with hashes of two seeds."""
    digests = []
    for threads, seed in (("1", "0"), ("1", "1"), ("2", "2")):
        variables = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", DIGEST, threads]
        digests.append(subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, check=True).stdout)
    assert len(digests[0]) == 65
    assert digests == [digests[0]] * 3


def test_the_same_bytes_from_calls_at_once() -> None:
    """Four calls of the model, two at a time."""
    expected = MODEL(IDS).logits.tobytes()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: MODEL(IDS).logits.tobytes(), range(4))) == [expected] * 4


def test_a_streamed_twin_of_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A pickle of a streamed model is a pickle of its folder's name."""
    from tests.hostile.folders import tiny

    folder = tiny(tmp_path / "model")
    frozen = pickle.dumps(Ovis2ForConditionalGeneration.from_pretrained(folder, stream=True))
    folder.rename(tmp_path / "elsewhere")
    outcome = bounded(lambda: pickle.loads(frozen))
    assert outcome.kind in ("refused", "forbidden"), outcome
