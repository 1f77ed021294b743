"""Put the picture into the text.

The prompt's token ids choose rows of the text embedding table. Where an id is that of <IMG_ATOM>, a visual embedding goes
instead, all of them in reading order; where it is one of the indicators (<IMG_START>, <IMG_GRID>, ...), that indicator's
own row goes.

The result is all that the language model ever sees of a picture.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref import merge
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong


def merge_embeddings(
    ids: Int[np.ndarray, "batch tokens"],
    text: Float[np.ndarray, "batch tokens hidden"],
    visual: Float[np.ndarray, "tiles tokens_per_tile hidden"],
    indicators: Float[np.ndarray, "kinds hidden"],
    atom_id: int,
    indicator_ids: list[int],
) -> Float[np.ndarray, "batch tokens hidden"]:
    """Return `text` with the visual embeddings at the atoms, tile by tile, and row i of `indicators` at `indicator_ids[i]`.

    There are as many atoms in all rows of `ids` together as visual embeddings.
    """
    merged = text.copy()
    merged[ids == atom_id] = visual.reshape(-1, visual.shape[-1])
    for i, indicator_id in enumerate(indicator_ids):
        merged[ids == indicator_id] = indicators[i]
    return merged


def one_by_one(
    ids: np.ndarray,
    text: np.ndarray,
    visual: np.ndarray,
    indicators: np.ndarray,
    atom_id: int,
    indicator_ids: list[int],
) -> np.ndarray:
    """Return the same token by token."""
    coming = iter([embedding for tile in visual for embedding in tile])
    rows = dict(zip(indicator_ids, indicators, strict=True))
    return np.array(
        [
            [next(coming) if i == atom_id else rows.get(int(i), e) for i, e in zip(row, embeddings, strict=True)]
            for row, embeddings in zip(ids, text, strict=True)
        ],
        text.dtype,
    )


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    prompts: tuple[tuple[list[list[int]], list[int]], ...] = (
        ([[9]], [5, 6, 7]),
        ([[1, 9]], [5, 6, 7]),
        ([[9, 2, 9]], [5, 6, 7]),
        ([[1, 5, 9, 6]], [6, 5, 8]),
        ([[5, 9, 6, 7, 2]], [5, 6, 7]),
        ([[9, 1], [2, 9]], [5, 6, 7]),
        ([[1, 9, 9, 2], [9, 3, 9, 5]], [8, 3, 5]),
        ([[5, 9, 9, 6, 9, 9, 7, 1]], [5, 7, 6]),
        ([[1, 2, 5, 9, 9, 7], [5, 9, 9, 6, 7, 3]], [7, 12, 5]),
        ([[1, 2], [3, 4]], [5, 6, 7]),
    )
    for number, (prompt, indicator_ids) in enumerate(prompts):
        ids = np.array(prompt)
        atoms = int((ids == 9).sum())
        per_tile = 2 if atoms % 2 == 0 and atoms else 1
        dtype = np.float32 if number % 2 else np.float64
        yield {
            "ids": ids,
            "text": (rng.integers(-9, 10, (*ids.shape, 2)) / 2).astype(dtype),
            "visual": (20 * (rng.permutation(2 * atoms) - atoms) + 10.5).reshape(-1, per_tile, 2).astype(dtype),
            "indicators": (100 * (rng.permutation(6) - 2.5) + 0.25).reshape(3, 2).astype(dtype),
            "atom_id": 9,
            "indicator_ids": indicator_ids,
        }


EXERCISE = Exercise(
    answer=merge_embeddings,
    expected=one_by_one,
    cases=cases,
    one_file="merge_embeddings",
    minutes=10,
    hints=(
        "Begin with a copy of the text's embeddings. Where are the atoms? Where is each indicator?",
        "A mask such as ids == atom_id chooses places in reading order; as many rows can be assigned to them at once.",
        "merged[ids == atom_id] = visual.reshape(-1, visual.shape[-1])",
    ),
    wrong=(
        wrong(
            "written into the text", "Make a copy: the caller's embeddings stay as they are.", ("text.copy()", "text")
        ),
        wrong(
            "no indicators",
            "Each indicator's own row replaces the text table's row.",
            ("merged[ids == indicator_id] = indicators[i]", "pass"),
        ),
        wrong(
            "no atoms",
            "The visual embeddings take the atoms' places.",
            ("    merged[ids == atom_id] = visual.reshape(-1, visual.shape[-1])\n", ""),
        ),
        wrong(
            "added",
            "The visual embeddings replace the text's; they aren't added to them.",
            ("merged[ids == atom_id] = visual", "merged[ids == atom_id] += visual"),
        ),
        wrong(
            "one embedding for all atoms",
            "Each atom has its own embedding, in reading order.",
            ("visual.reshape(-1, visual.shape[-1])", "visual.reshape(-1, visual.shape[-1])[:1]"),
        ),
        wrong(
            "the mean for all atoms",
            "Each atom has its own embedding, in reading order.",
            ("visual.reshape(-1, visual.shape[-1])", "visual.mean(axis=(0, 1))"),
        ),
        wrong(
            "in reverse",
            "Reading order: the first visual embedding goes to the first atom.",
            ("visual.reshape(-1, visual.shape[-1])", "visual.reshape(-1, visual.shape[-1])[::-1]"),
        ),
        wrong(
            "tiles interleaved",
            "All embeddings of a tile come before those of the next.",
            ("visual.reshape(-1,", "visual.swapaxes(0, 1).reshape(-1,"),
        ),
        wrong(
            "indicators in reverse",
            "Row i belongs to indicator_ids[i].",
            ("indicators[i]", "indicators[::-1][i]"),
        ),
        wrong("one row for all indicators", "Each indicator has its own row.", ("indicators[i]", "indicators[0]")),
        wrong(
            "atoms replaced by the first indicator",
            "The atoms get visual embeddings; the indicators are other ids.",
            ("enumerate(indicator_ids)", "enumerate([atom_id, *indicator_ids[1:]])"),
        ),
        wrong(
            "batch and tokens exchanged",
            "Reading order runs through a whole row of ids before the next.",
            (
                "    merged[ids == atom_id] = visual.reshape(-1, visual.shape[-1])\n",
                "    merged.swapaxes(0, 1)[ids.T == atom_id] = visual.reshape(-1, visual.shape[-1])\n",
            ),
        ),
        wrong("the text untouched", "The picture has to go in.", ("return merged", "return text.copy()")),
        wrong(
            "row = id - lowest id",
            "The ids of the indicators are in no order and have gaps: row i belongs to indicator_ids[i].",
            ("indicators[i]", "indicators[indicator_id - min(indicator_ids)]"),
        ),
        wrong(
            "every prompt starts with the first tile",
            "The atoms of all rows share the embeddings: the second row goes on where the first ends.",
            (
                "    merged[ids == atom_id] = visual.reshape(-1, visual.shape[-1])\n",
                "    flat = visual.reshape(-1, visual.shape[-1])\n"
                "    for row, here in zip(merged, ids == atom_id):\n        row[here] = flat[: here.sum()]\n",
            ),
        ),
    ),
    solution=(merge.merge_embeddings,),
    notice=(
        "pictures of all prompts in a batch come in one array of tiles, so the order of the atoms over the whole batch "
        "decides. The project first counts atoms and embeddings, and says so where they differ: the commonest mistake "
        "of its callers."
    ),
)
