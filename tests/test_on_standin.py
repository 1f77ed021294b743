"""The whole pipeline on the stand-in for CuPy against the same on NumPy, bit for bit: every tapped value, every output, every id.

What is shown: no host array and no NumPy function is used among device arrays, everything asked of CuPy exists there with these
arguments, and between host and device goes what must. What isn't: the GPU's own rounding, its speed, its memory.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.config import Ovis2Config, Qwen2Config
from ovis2_ref.errors import InputError
from ovis2_ref.image.filters import FILTERS
from ovis2_ref.image.resize import pillow_resize, torch_resize
from ovis2_ref.language.masks import layer_masks
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime import blocks, parts, products, threads
from ovis2_ref.runtime.arrays import DTYPES, array_module, as_dtype, sum_dtype, to_device, to_host
from ovis2_ref.runtime.taps import recording
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tiny import TINY
from tests.standin.blas import WIDER
from tests.standin.module import Crossing, crossings, standin_cupy
from tests.strategies import seeds
from tests.test_model import calls

ORIGINAL_FOLDER = Path(__file__).with_name("golden_original") / "checkpoint"
CONVENTIONS = ("transformers", "original")


@pytest.fixture(scope="module", autouse=True)
def the_same_sums() -> Iterator[None]:
    """Products that don't depend on the order of their sums, as the stand-in's cuBLAS makes them; whole rows and layers."""
    whole = {"IN_CACHE": 2**40, "IN_MEMORY": 2**40}
    with (
        patch.multiple(blocks, **whole),
        patch.dict(WIDER, float64=np.dtype(np.longdouble)),
        patch.object(products, "widened", lambda x: x.astype(WIDER[sum_dtype(x.dtype).name])),
        patch.object(threads, "_chosen", 1),
        patch.object(parts, "SMALLEST_PART", 2**60),
    ):
        yield


def same_bits(there: Any, here: Any, what: str) -> None:
    """Fail unless the device array `there` and the host array `here` have one type, one shape and the same bits."""
    assert array_module(there) is not np, f"{what} is not on the device"
    assert array_module(here) is np, f"{what} is not on the host"
    there = to_host(there)
    assert (there.dtype, there.shape) == (np.asarray(here).dtype, np.shape(here)), what
    assert there.tobytes() == np.asarray(here).tobytes(), what


def two_models(config: Ovis2Config, seed: int, dtype: str, convention: str, xp: Any) -> tuple[Any, Any]:
    """Return a model on NumPy and the same model on `xp`."""
    rng = np.random.default_rng(seed)
    weights = {
        name: (rng.standard_normal(shape) / shape[-1] ** 0.5).astype(as_dtype(dtype))
        for name, shape in expected_shapes(config).items()
    }
    there = {name: to_device(w, xp) for name, w in weights.items()}
    return tuple(Ovis2ForConditionalGeneration(config, w, convention) for w in (weights, there))


@given(calls(), st.sampled_from(["float32", "float64", "float16", "bfloat16"]), st.sampled_from(CONVENTIONS))
def test_forward(call: Any, dtype: str, convention: str) -> None:
    """Every tapped value and every output of one forward, loss, hidden states and attentions included."""
    config, seed, arguments = call
    arguments["labels"] = np.where(arguments["attention_mask"] == 1, arguments["input_ids"], -100)
    with standin_cupy() as cupy:
        here, there = two_models(config, seed, dtype, convention, cupy)
        with recording() as taps_here:
            output = here(**arguments, output_hidden_states=True, output_attentions=True)
        with recording() as taps_there:
            device_output = there(**arguments, output_hidden_states=True, output_attentions=True)
        assert list(taps_there) == list(taps_here)
        for name, value in taps_here.items():
            same_bits(taps_there[name], value, name)
        same_bits(device_output.loss, output.loss, "loss")
        same_bits(device_output.logits, output.logits, "logits")
        for name in ("hidden_states", "attentions"):
            for i, (a, b) in enumerate(zip(getattr(device_output, name), getattr(output, name), strict=True)):
                same_bits(a, b, f"{name} {i}")
        if output.image_hidden_states is not None:
            same_bits(device_output.image_hidden_states, output.image_hidden_states, "image_hidden_states")


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "greedy, recorded": {"do_sample": False, "cache_implementation": "static"},
    "greedy, no cache": {"do_sample": False, "use_cache": False},
    "greedy, punished": {
        "do_sample": False, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 3,
    },
    "sampled": {"do_sample": True, "temperature": 0.7, "top_k": 9, "top_p": 0.8, "num_return_sequences": 2},
    "sampled otherwise": {"do_sample": True, "typical_p": 0.7, "min_p": 0.01, "epsilon_cutoff": 1e-3, "eta_cutoff": 1e-3},
    "beams": {"do_sample": False, "num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5},
    "sampled beams": {"do_sample": True, "num_beams": 2, "early_stopping": True},
}  # fmt: skip


def generated(model: Any, arguments: dict[str, np.ndarray], way: str, new_tokens: int, eos: int | None) -> np.ndarray:
    """Ids of a generation, its random numbers always the same; without an end token if `eos` is None."""
    options = dict(WAYS[way])
    if "sliding_attention" in model.config.text_config.layer_types:
        options.pop("cache_implementation", None)
    return model.generate(
        **arguments, **options, max_new_tokens=new_tokens, eos_token_id=eos, pad_token_id=0, generator=7
    )


@given(calls(), st.sampled_from(list(WAYS)), st.integers(0, 40), st.sampled_from(CONVENTIONS))
def test_generate(call: Any, way: str, eos: int, convention: str) -> None:
    """The same ids, by every way of choosing them."""
    config, seed, arguments = call
    with standin_cupy() as cupy:
        here, there = two_models(config, seed, "float32", convention, cupy)
        np.testing.assert_array_equal(generated(there, arguments, way, 6, eos), generated(here, arguments, way, 6, eos))


@given(calls(), st.sampled_from([way for way in WAYS if "no cache" not in way]))
def test_decode_loop_crosses_with_token_ids_only(call: Any, way: str) -> None:
    """What one token more costs in crossings: the rows' ids to the host, and back. Sampling brings a random number for each
    row; a beam search keeps its ids on the device, and reads one number: whether to continue.
    """
    config, seed, arguments = call
    with standin_cupy() as cupy:
        _, model = two_models(config, seed, "float32", "transformers", cupy)
        logs = []
        for new_tokens in (4, 5):
            with crossings() as log:
                generated(model, arguments, way, new_tokens, None)
            logs.append(Counter(without_result(log)))
    more = logs[1] - logs[0]
    assert not logs[0] - logs[1]
    rows = len(arguments["input_ids"]) * max(WAYS[way].get("num_return_sequences", 1), WAYS[way].get("num_beams", 1))
    expected = Counter()
    if "beams" in way:
        expected[Crossing("host", "int", (), np.dtype(np.int64))] += 1
    else:
        expected[Crossing("host", "get", (rows,), np.dtype(np.int64))] += 1
        expected[Crossing("device", "asarray", (rows,), np.dtype(np.int64))] += 1
    assert {c: n for c, n in more.items() if c.dtype.kind != "f"} == expected
    random = {c: n for c, n in more.items() if c.dtype.kind == "f"}
    assert all(c.to == "device" and c.how == "asarray" for c in random)
    assert bool(random) == WAYS[way]["do_sample"]


def without_result(log: list[Crossing]) -> list[Crossing]:
    """Return the crossings but the last, which brings the finished ids."""
    assert log[-1].how == "get"
    assert log[-1].dtype == np.int64
    return log[:-1]


@given(
    seeds,
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from([*FILTERS, "nearest"]),
)
def test_resize(seed: int, size: tuple[int, int], new_size: tuple[int, int], resample: str) -> None:
    """Both resamplers on the device: the same bytes; the picture does not come back to the host in between."""
    picture = np.random.default_rng(seed).integers(0, 256, (3, *size), dtype=np.uint8)
    with standin_cupy() as cupy:
        there = to_device(picture, cupy)
        with crossings() as log:
            pillow = pillow_resize(there, new_size, resample)
            both = [(pillow, pillow_resize(picture, new_size, resample))]
            if resample in ("bilinear", "bicubic"):
                both.append((torch_resize(there, new_size, resample), torch_resize(picture, new_size, resample)))
        assert all(c.to == "device" for c in log)
        for a, b in both:
            same_bits(a, b, resample)


@pytest.mark.parametrize("stream", [False, True], ids=["loaded", "streamed"])
@pytest.mark.parametrize(
    ("folder", "convention"), [(TINY, "transformers"), (ORIGINAL_FOLDER, "original")], ids=["tiny", "authors' layout"]
)
def test_from_a_folder_to_an_answer(folder: Path, convention: str, stream: bool) -> None:
    """Pictures of several tiles, processor, checkpoint, `device="cuda"`, greedy answer: the ids that the CPU makes."""
    processor = Ovis2Processor.from_pretrained(folder, convention=convention)
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Describe the image."}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, size, dtype=np.uint8) for size in ((90, 200, 3), (70, 50, 3))]
    inputs = processor(images=pictures, text=text, return_tensors="np")
    options = {"max_new_tokens": 5, "do_sample": False}
    here = Ovis2ForConditionalGeneration.from_pretrained(folder, convention=convention)
    with standin_cupy() as cupy:
        there = Ovis2ForConditionalGeneration.from_pretrained(
            folder, device="cuda", convention=convention, stream=stream
        )
        assert there.xp is cupy
        same_bits(there(**inputs).logits, here(**inputs).logits, "logits")
        np.testing.assert_array_equal(there.generate(**inputs, **options), here.generate(**inputs, **options))
        if stream:
            with pytest.raises(InputError, match="streamed"):
                there.generate(**inputs, **options, cache_implementation="static")


def test_a_model_computes_on_its_own_gpu() -> None:
    """Loaded on GPU 1, called by a thread whose current GPU is 0: everything is made on GPU 1."""
    inputs = {"input_ids": np.array([[5, 6, 7]])}
    with standin_cupy(devices=2) as cupy:
        model = Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda:1")
        cupy.cuda.Device(0).use()
        with recording() as taps:
            output = model(**inputs)
            model.generate(**inputs, max_new_tokens=3)
        assert {output.logits.device.id, *(value.device.id for value in taps.values())} == {1}
        assert cupy.cuda.Device().id == 0


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_masks_have_the_type_of_the_scores(dtype: np.dtype) -> None:
    """In bfloat16, too, which CuPy's `where` makes float32: scores plus a float32 mask would take twice the memory."""
    with standin_cupy() as cupy:
        for mask in (None, cupy.asarray([[0, 1, 1]]), cupy.ones((1, 1, 3, 3), dtype=bool)):
            masks = layer_masks(mask, 1, cupy.arange(3)[None], None, Qwen2Config(), dtype)
            assert {m.dtype for m in masks.values()} == {dtype}
