"""What the first visual words of the tiny model mean."""

from ovis2_ref.tiny.training.scenes import COLOURED_SHAPES, GREY_SHAPES

CELLS = 4
"""Merged cells on a side of a tile: 64 pixels / (patches of 8 pixels x stride 2)."""

PARTS = ("part", "centre")


def _words_for(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}, column {column + 1}, {part}" for part in PARTS for column in range(CELLS) for name in names)


WORDS = ("background", *_words_for(COLOURED_SHAPES))
"""The meaning of the first visual words: a coloured shape in one of the four columns of a tile's cells, its centre or not.

In the tile that shows the whole picture each shape has one word for its centre. In tiles that show a part of it, where a shape
may be cut, too, the cells of centres are not trained on.
"""
ALL_WORDS = (*WORDS, *_words_for(GREY_SHAPES))
"""The same with the words for grey shapes after them, which training has since its scenes show these."""
_NUMBERS = {word: number for number, word in enumerate(ALL_WORDS)}


def word_of(name: str, column: int, part: str) -> int:
    """Find the visual word for a shape in a column (from 0) of a tile's cells: for its centre or another part."""
    return _NUMBERS[f"{name}, column {column + 1}, {part}"]
