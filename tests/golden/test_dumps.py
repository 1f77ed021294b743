"""How right programs dump their values: in parts, in other layouts and types, of batches; each passes, or is told what to do."""

from collections.abc import Callable

import numpy as np
import pytest
from ml_dtypes import bfloat16

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.golden import Golden, compare
from ovis2_ref.golden.record import Run
from ovis2_ref.golden.report import table, verdict_line
from ovis2_ref.golden.stages import numbered, split_number
from ovis2_ref.runtime.taps import listening
from tests.golden import small

Taps = dict[str, np.ndarray]
RIGHT: Taps = dict(small.run().taps)
TEXT, VISUAL = "model.language_model", ("pixel_values", "model.vision_tower", "model.visual_embeddings_table")
FLOATS = [name for name, array in RIGHT.items() if array.dtype.kind == "f"]


def chunked(taps: Taps, first: int) -> Taps:
    """Return the run as of a prompt that is read in two chunks, the first of so many tokens."""
    made: Taps = {}
    for name, array in taps.items():
        tap, step = split_number(name)
        if step > 1:
            made[numbered(tap, step + 1)] = array
        elif not tap.startswith((TEXT, "input_ids", "attention_mask", "position_ids")):
            made[name] = array
        elif tap.endswith((".scores", ".weights")):
            made[name], made[f"{name}#2"] = array[:, :, :first, :first], array[:, :, first:]
        elif tap == "attention_mask":
            made[name], made[f"{name}#2"] = array[:, :first], array
        else:
            axis = 2 if array.ndim == 4 else 1
            made[name], made[f"{name}#2"] = np.split(array, [first], axis)
    if "lm_head.output" in made:
        made["lm_head.output#2"] = made["lm_head.output"]
        made["lm_head.output"] = made["lm_head.output"] + 1  # of the chunk's last token, which nobody needs
    return made


def stored(dtype: type) -> Callable[[Taps], Taps]:
    return lambda taps: {name: array.astype(dtype) if name in FLOATS else array for name, array in taps.items()}


def unmasked(taps: Taps) -> Taps:
    """Return the run with scores as they are before the mask is added."""
    made = dict(taps)
    for name, array in taps.items():
        if name.endswith("self_attn.scores"):
            q, k = taps[name.replace("scores", "q_rotated")], taps[name.replace("scores", "k_rotated")]
            k = np.repeat(k, q.shape[1] // k.shape[1], 1)
            made[name] = q @ k.swapaxes(2, 3) * np.float32(q.shape[-1] ** -0.5)
            assert made[name].shape == array.shape
    return made


def scaled(taps: Taps) -> Taps:
    """Return the run with q multiplied by head_dim^-1/2 before its product with k."""
    return {
        name: array * np.float32(8**-0.5)
        if split_number(name)[0].endswith((".q_rotated", ".attention.q_proj.output"))
        else array
        for name, array in taps.items()
    }


def static_cache(taps: Taps) -> Taps:
    """Return the run with the free places of a static cache beside scores, weights and keys."""
    made = {}
    for name, array in taps.items():
        if name.partition("#")[0].endswith("self_attn.scores"):
            array = np.pad(array, ((0, 0),) * 3 + ((0, 9),), constant_values=-np.inf)
        elif name.partition("#")[0].endswith("self_attn.weights"):
            array = np.pad(array, ((0, 0),) * 3 + ((0, 9),))
        elif name.partition("#")[0].endswith("k_rotated"):
            first = taps[name.partition("#")[0]]
            keys = array if "#" not in name else np.concatenate([first, array], 2)
            array = np.pad(keys, ((0, 0), (0, 0), (0, 9), (0, 0)))
        made[name] = array
    return made


def tile_by_tile(taps: Taps) -> Taps:
    """Return the run with the tower's values of each tile by themselves."""
    made: Taps = {}
    for name, array in taps.items():
        if name.startswith(VISUAL):
            made |= {numbered(name, i + 1): array[i : i + 1] for i in range(len(array))}
        else:
            made[name] = array
    return made


DUMPS: dict[str, Callable[[Taps], Taps]] = {
    "a prompt in two chunks": lambda taps: chunked(taps, 17),
    "chunks, without ids": lambda taps: {k: v for k, v in chunked(taps, 17).items() if not k.startswith("input_ids")},
    "ggml's order of axes": lambda taps: {
        name: array.reshape(array.shape[::-1]) if name in FLOATS and name != "pixel_values" else array
        for name, array in taps.items()
    },
    "without axes of 1": lambda taps: {
        name: array.squeeze() if name in FLOATS and name != "pixel_values" else array for name, array in taps.items()
    },
    "stored in float16": stored(np.float16),
    "stored in bfloat16": stored(bfloat16),
    "scores before the mask": unmasked,
    "q scaled before the product": scaled,
    "a static cache": static_cache,
    "tile by tile": tile_by_tile,
    "ids as floating-point numbers": lambda taps: {
        name: array.astype(np.float32) if name.startswith(("input_ids", "generated", "position_ids")) else array
        for name, array in taps.items()
    },
    "ids of 32 bits": lambda taps: {
        name: array.astype(np.int32) if array.dtype == np.int64 else array for name, array in taps.items()
    },
    "patches as a convolution gives them": lambda taps: {
        name: array.reshape(3, 4, 4, 16).transpose(0, 3, 1, 2) if name.endswith("patch_embedding.output") else array
        for name, array in taps.items()
    },
}


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize("few", [False, True])
def test_a_right_dump_passes(dump, few):
    """Whole, and of the layers' outputs alone."""
    taps = DUMPS[dump](RIGHT)
    if few:
        taps = {name: x for name, x in taps.items() if ".output" in name or "ids" in name}
    comparison = small.judged(taps)
    assert comparison.passes, table(comparison)[-3000:]
    assert not comparison.unmatched
    assert {row.verdict for row in comparison.rows} <= {"equal", "rounding"}


@pytest.mark.parametrize("dump", ["scores before the mask", "q scaled before the product", "a prompt in two chunks"])
def test_a_wrong_dump_of_that_form_does_not_pass(dump):
    """A mistake in what follows shows in each of the forms that are taken."""
    tap = "model.language_model.layers.0.self_attn.context"
    comparison = small.judged(DUMPS[dump]({**RIGHT, tap: RIGHT[tap] * np.float32(1.01)}))
    assert comparison.of("wrong")[0].tap == tap


def padded_batch(rows: int, pad: int) -> Golden:
    """Return the values of a batch: the golden file's prompt with padding in front, and longer ones."""
    folder = small.small_folder()
    model = Ovis2ForConditionalGeneration.from_pretrained(folder)
    processor = Ovis2Processor.from_pretrained(folder)
    prompt = small.recorded().metadata["prompt"]
    inputs = processor(images=[small.PICTURE], text=prompt, max_patches=2)
    ids, mask, pixels = inputs["input_ids"], inputs["attention_mask"], inputs["pixel_values"]
    width = ids.shape[1] + pad
    front = np.pad(ids, ((0, 0), (pad, 0)), constant_values=processor.tokenizer.pad_token_id)
    other = np.concatenate([np.full((1, pad), 40), ids[:, ::1]], 1)
    taps: Taps = {}
    run = Run(taps.__setitem__)
    inputs = {
        "input_ids": np.concatenate([front] + [other] * (rows - 1)),
        "attention_mask": np.concatenate([np.pad(mask, ((0, 0), (pad, 0)))] + [np.ones((1, width), int)] * (rows - 1)),
        "pixel_values": np.concatenate([pixels] * rows),
    }
    run.mask = inputs["attention_mask"]
    with listening(run, run.wants):
        run("pixel_values", inputs["pixel_values"])
        model.generate(**inputs, max_new_tokens=2, do_sample=False, streamer=run, eos_token_id=None)
    return Golden({name: array.copy() for name, array in taps.items()}, {"dtype": "float32"})


@pytest.mark.parametrize(("rows", "pad"), [(1, 5), (2, 3)])
def test_padding_in_front(rows, pad):
    """A padded row, and a whole batch; what stands at padding is of no use, and isn't judged."""
    batch = padded_batch(rows, pad)
    hidden = f"{TEXT}.layers.0.mlp.activated"
    taps = {**batch.taps, hidden: batch.taps[hidden] * (batch.taps["attention_mask"][..., None] != 0)}
    comparison = compare(small.recorded(), Golden(taps, batch.metadata), small.reference())
    assert comparison.passes, table(comparison)[-3000:]
    ids = next(row for row in comparison.rows if row.tap == "input_ids")
    assert "padding" in ids.note
    wrong = {**taps, hidden: taps[hidden] * np.float32(1.01)}
    assert not compare(small.recorded(), Golden(wrong, batch.metadata), small.reference()).passes


def test_one_tile_alone_is_told_what_to_do():
    taps = {name: array[1:2] if name.startswith(VISUAL) else array for name, array in RIGHT.items()}
    comparison = small.judged(taps)
    assert not comparison.passes
    assert "1 of 3 tiles" in verdict_line(comparison) and "golden/README.md" in verdict_line(comparison)


@pytest.mark.parametrize("budget", [20_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_kept_rows(budget):
    """On either side, on both: a right run passes, a wrong one doesn't, whichever value is wrong."""
    golden, candidate = small.run("float64", budget=budget), small.run(budget=budget)
    for one, other in ((golden, candidate), (golden, golden), (golden, small.run()), (small.recorded(), candidate)):
        comparison = compare(one, other, small.reference())
        assert comparison.passes, table(comparison)[-2000:]
    floats = [name for name in candidate.names if name in FLOATS and "rotary" not in name]
    for name in floats[budget % 11 :: 25]:
        wrong = Golden({**candidate.taps, name: candidate.taps[name] * np.float32(1.01)}, candidate.metadata)
        rows = compare(golden, wrong, small.reference()).of("wrong")
        assert name in [row.tap for row in rows], name


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("prompt", "another", "of another prompt: 'another'"),
        ("weights", "0" * 64, "of another checkpoint"),
        ("config", {"text_config": {"hidden_size": 64}}, "text_config.hidden_size is 64, not 16"),
        ("inputs", {"image.picture": "0" * 64}, "of another picture"),
    ],
)
def test_the_candidates_own_words_come_first(entry, value, words):
    golden = small.recorded()
    taps = {name: array for name, array in RIGHT.items() if ".output" in name}
    comparison = compare(golden, Golden(taps, {"dtype": "float32", entry: value}), small.reference())
    assert not comparison.passes and not comparison.rows
    assert words in verdict_line(comparison)
    same = {name: golden.metadata[name] for name in ("prompt", "config", "inputs")} | {"dtype": "float32"}
    same["weights"] = small.run().metadata["weights"]
    assert compare(golden, Golden(taps, same), small.reference()).passes


def test_a_guess_decides_nothing():
    """An array with an unknown name is said to look like a tap; right or wrong, the verdict doesn't rest on it."""
    tap = "model.language_model.layers.0.after_attention"
    taps = {name: array for name, array in RIGHT.items() if name != tap}
    comparison = small.judged({**taps, "node_7": RIGHT[tap] * np.float32(1.1)})
    assert comparison.passes and comparison.unmatched == ["node_7"]
    assert f"no tap found for node_7 (a guess: 90 % like {tap}" in table(comparison)
    alone = small.judged({"node_7": RIGHT[tap]})
    assert not alone.passes and "NOTHING COMPARED" in verdict_line(alone)
