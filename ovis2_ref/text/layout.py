"""Lay a picture's tiles out in the prompt: visual tokens, and between them indicator tokens that mark the grid.

A picture cut into a grid of 2 rows x 3 columns, its thumbnail first (three tokens to a tile; @ is <IMG_ATOM>):

    <IMG_START> @@@ <IMG_GRID>                          the thumbnail: the whole picture in one tile
        @@@ <IMG_COL> @@@ <IMG_COL> @@@ <IMG_ROW>       the first row of tiles
        @@@ <IMG_COL> @@@ <IMG_COL> @@@                 the second
    <IMG_END>

A picture of 1 x 1 is one tile: <IMG_START> @@@ <IMG_GRID> <IMG_END>.

transformers spells the layout in special tokens of the vocabulary; the authors' code in negative ids, one atom for a tile, which
never reach the embedding table. The order is the same, and that of the last five rows of the visual embedding table too.
"""

from collections.abc import Callable, Sequence

from ovis2_ref.errors import InputError
from ovis2_ref.text.chat import IMAGE_TOKEN

IMAGE_ATOM = "<IMG_ATOM>"
INDICATORS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
START, GRID, COLUMN, ROW, END = INDICATORS

MOST_VISUAL_TOKENS = 2**20
"""Visual tokens of one call at most, 32 times the model's context: a tokenizer takes some 200 bytes for each."""

ORIGINAL_IDS = {IMAGE_ATOM: -300, START: -301, GRID: -302, COLUMN: -303, ROW: -304, END: -305}
"""The authors' ids (IMAGE_ATOM_ID and IMAGE_INDICATOR_IDS in AIDC-AI/Ovis, branch v2.0, ovis/util/constants.py)."""


def picture_layout(grid: tuple[int, int]) -> list[str]:
    """Return the tokens of a picture cut into `grid` (rows, columns) tiles, with one atom for a tile.

    >>> " ".join(picture_layout((1, 2)))
    '<IMG_START> <IMG_ATOM> <IMG_GRID> <IMG_ATOM> <IMG_COL> <IMG_ATOM> <IMG_END>'
    """
    rows, columns = grid
    tokens = [START, IMAGE_ATOM, GRID]
    for row in range(rows if rows * columns > 1 else 0):
        tokens += [ROW] if row else []
        for column in range(columns):
            tokens += [COLUMN, IMAGE_ATOM] if column else [IMAGE_ATOM]
    return [*tokens, END]


def image_placeholder(grid: tuple[int, int], tokens_per_tile: int) -> str:
    """Return the text of a picture in transformers' prompt, where every tile has `tokens_per_tile` atoms.

    Source: transformers 5.24, `Ovis2Processor.replace_image_token`.
    """
    return "".join(token * (tokens_per_tile if token == IMAGE_ATOM else 1) for token in picture_layout(grid))


def original_placeholder(grid: tuple[int, int], tokens_per_tile: int) -> list[int]:
    """Return the ids of a picture in the authors' prompt, each atom `tokens_per_tile` times.

    The authors' own prompt has one atom for a tile (`construct_image_placeholders`), and the model puts all of the tile's
    embeddings in its place; with as many atoms as embeddings the sequence has its final length from the start.
    """
    ids = ((ORIGINAL_IDS[token], tokens_per_tile if token == IMAGE_ATOM else 1) for token in picture_layout(grid))
    return [token_id for token_id, times in ids for _ in range(times)]


def expand_pictures(prompts: Sequence[str], grids: Sequence[tuple[int, int]], tokens_per_tile: int) -> list[str]:
    """Replace each <image>, counted through all `prompts`, by the layout of its picture's grid (transformers' prompts)."""
    check_picture_count(prompts, len(grids))
    check_prompt_length(grids, tokens_per_tile)
    placeholders = iter([image_placeholder(grid, tokens_per_tile) for grid in grids])
    expanded = []
    for prompt in prompts:
        first, *rest = prompt.split(IMAGE_TOKEN)
        expanded.append(first + "".join(next(placeholders) + piece for piece in rest))
    return expanded


def original_token_ids(
    prompts: Sequence[str],
    grids: Sequence[tuple[int, int]],
    encode: Callable[[str], list[int]],
    tokens_per_tile: int = 1,
) -> list[list[int]]:
    """Return the authors' token ids: split each prompt at <image>, and `encode` each piece separately.

    So no token spans a picture, and a picture beside a text doesn't change how the text is tokenised.
    Source: AIDC-AI/Ovis, branch v2.0, `_tokenize_with_image_symbol` and `preprocess_inputs`.
    """
    check_picture_count(prompts, len(grids))
    check_prompt_length(grids, tokens_per_tile)
    placeholders = iter([original_placeholder(grid, tokens_per_tile) for grid in grids])
    rows = []
    for prompt in prompts:
        first, *rest = map(encode, prompt.split(IMAGE_TOKEN))
        rows.append(first + [token_id for piece in rest for token_id in (*next(placeholders), *piece)])
    return rows


def check_prompt_length(grids: Sequence[tuple[int, int]], tokens_per_tile: int) -> None:
    """Raise `InputError` if the visual tokens of pictures with these grids are more than `MOST_VISUAL_TOKENS`."""
    tiles = sum(1 if rows * columns == 1 else rows * columns + 1 for rows, columns in grids)
    if tiles * tokens_per_tile > MOST_VISUAL_TOKENS:
        raise InputError(
            f"{tiles} tiles of {tokens_per_tile} visual tokens are more than {MOST_VISUAL_TOKENS} tokens in one call: give fewer "
            "pictures at a time, or lower max_patches for fewer tiles"
        )


def check_picture_count(prompts: Sequence[str], pictures: int) -> None:
    """Raise `InputError` unless `prompts` together have one <image> for each of the `pictures`."""
    places = sum(prompt.count(IMAGE_TOKEN) for prompt in prompts)
    if places != pictures:
        raise InputError(
            f"{places} {IMAGE_TOKEN} in the text and {pictures} pictures: each picture needs one {IMAGE_TOKEN}, in the same order"
        )
