"""Stage two: the language model and the visual embedding table alone learn to answer.

No picture is drawn and no vision tower runs: the visual tokens are drawn from the known words of the cells, with errors
and doubts like those of a vision tower. Runs beside stage one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count

import numpy as np

from ovis2_ref.checkpoint.names import TEXT, VISION, VISUAL_EMBEDDINGS
from ovis2_ref.config import Ovis2Config
from ovis2_ref.language.decoder import decoder, embed_tokens
from ovis2_ref.language.forward_pass import forward_pass
from ovis2_ref.language.loss import cross_entropy
from ovis2_ref.merge import merge_embeddings
from ovis2_ref.ops import linear
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny.training.pictures import MAX_TILES, CellWords, grid_of, grid_of_size, tile_count, words_of
from ovis2_ref.tiny.training.scenes import (
    BACKGROUND,
    COLOURS,
    DEVELOPMENT_SEED,
    GREY,
    KINDS,
    UNSURE,
    Scene,
    draw_held_out_scene,
    draw_language_scene,
    size_of,
)
from ovis2_ref.tiny.training.sequences import NO_LABEL, Batch, batch_of, greeting, sequence_about
from ovis2_ref.tiny.training.words import ALL_WORDS, CELLS, PARTS, word_of
from ovis2_ref.vision.visual_tokenizer import embed_visual_tokens, indicator_embeddings

FIRST_SEED = 200_000_000
SHORT_PART = 0.6
"""The part of the steps, the first, that sees pictures of a single tile only."""
TOKENS_IN_SHORT_BATCH, TOKENS_IN_BATCH = 3000, 5000
TOKENS_PER_TILE, TOKENS_OF_REQUESTS = 17, 320
SEEDS_OF_A_BATCH = 4000
"""Batches start this many seeds apart: enough to find the scenes of one, whatever its number of tiles."""
HELD_OUT_BATCHES = 8
NAMES = tuple(word.split(", ") for word in ALL_WORDS)
IS_CENTRE = np.array([name[-1] == "centre" for name in NAMES])
OTHER_PART = np.array(
    [0] + [word_of(name, int(column[-1]) - 1, PARTS[part == PARTS[0]]) for name, column, part in NAMES[1:]]
)
"""The word for the same shape in the same column, of the other part: its centre for another part, and the reverse."""
FILLED_SLIPS = 0.5
"""How often a cell of a tile that a shape fills seems to show another kind."""
UNLIKELY, NOISE = 0.02, 1.4
"""Centres with less than this chance to seem in a cell never do. `NOISE` is the spread of the others' logits."""


def answer_logits(w: Weights, config: Ovis2Config, batch: Batch, visual_tokens: Array) -> Array:
    """Compute the logits where there is a label. `visual_tokens` are distributions (tiles, 16, words), indicators left out."""
    table, text = (w / "model" / "visual_embeddings_table")["weight"], w / TEXT
    visual = embed_visual_tokens(visual_tokens, table)
    indicators = indicator_embeddings(table, config.vision_config)
    embeddings = merge_embeddings(batch.ids, embed_tokens(batch.ids, text), visual, indicators, config)
    this = forward_pass(embeddings, config.text_config, batch.positions, batch.mask)
    hidden = decoder(embeddings, text, config.text_config, this)[batch.labels != NO_LABEL]
    return linear(hidden, text / "embed_tokens")


def answer_loss(logits: Array, batch: Batch, power: float = 1.0) -> Array:
    """Sum the cross-entropy over the tokens of each answer, divide by a power of their number, and average over answers.

    With the power 1 a "Yes." counts as much as a description of a dozen tokens; averaged over all tokens it would hardly be
    learnt. With 1/2 its tokens count about as much as those of a description that is asked for as often.
    """
    lengths = np.array([length for _, length in batch.answers])
    weights = np.repeat(lengths, lengths) ** -power / len(lengths)
    return cross_entropy(logits, batch.labels[batch.labels != NO_LABEL], weights.astype(logits.dtype))


def scenes_of_a_batch(
    draw: Callable[[int], Scene], first_seed: int, most_tiles: int, tokens: int
) -> list[tuple[Scene, tuple[int, int]]]:
    """Draw scenes that are all cut into the same number of tiles, from the seeds that start at `first_seed`.

    A batch holds about `tokens` tokens, so fewer scenes where these have many tiles. The first scene sets the number of
    tiles; the fewer it has, the more often it is skipped, so that scenes of every number of tiles occur as often as drawn.
    """
    rng = np.random.default_rng(first_seed)
    wanted, found = None, []
    for seed in count(first_seed):
        tiles = tile_count(grid_of_size(*size_of(seed)))
        if wanted is None and tiles <= most_tiles and rng.random() < tokens_about(tiles) / tokens_about(most_tiles):
            wanted = tiles
        if tiles == wanted:
            found.append(seed)
            if len(found) * tokens_about(tiles) >= tokens:
                break
    return [(scene, grid_of(scene)) for scene in map(draw, found)]


def tokens_about(tiles: int) -> int:
    """Estimate the number of tokens of a sequence about a picture."""
    return TOKENS_PER_TILE * tiles + TOKENS_OF_REQUESTS


def made_up_tokens(cells: CellWords, words: int, rng: np.random.Generator) -> np.ndarray:
    """Make visual tokens, (tiles, 16, words), as a good but not perfect vision tower would: each doubts between two words.

    A centre near a border of cells is seen on one side, on the other, on both or on none.
    """
    chance = cells.centre_chance.clip(UNLIKELY, 1 - UNLIKELY)
    near_border = chance == cells.centre_chance
    first, second = two_words(cells, near_border, rng)
    doubt = rng.beta(0.2, 2.0, size=first.shape) * 0.8
    doubt = np.where(rng.random(first.shape) < 0.5, doubt, 0.0)
    odds = chance / (1 - chance) * np.exp(NOISE * rng.normal(size=first.shape))
    doubt_of_place = np.where(IS_CENTRE[first], 1 / (1 + odds), odds / (1 + odds))
    doubt = np.where(near_border & (first != BACKGROUND) & (second != BACKGROUND), doubt_of_place, doubt)
    tokens = np.full((*first.shape, words), 0.02 / words, dtype=np.float32)
    np.put_along_axis(tokens, first[..., None], (0.98 * (1 - doubt))[..., None], axis=-1)
    np.put_along_axis(tokens, second[..., None], (tokens_at(tokens, second) + 0.98 * doubt)[..., None], axis=-1)
    return tokens


def two_words(cells: CellWords, near_border: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the word that each token names, and the one that it could be taken for.

    A cell that shows little of a shape is background or the shape. Errors are another kind of the same colour, often where the
    tile is filled, or, in the thumbnail, the centre taken for another part and the reverse.
    """
    hidden = (cells.words == UNSURE) & (cells.centre_chance < 0.5) & (rng.random(cells.words.shape) < 0.5)
    first = np.where(hidden, BACKGROUND, cells.likely)
    torn = near_border & (first != BACKGROUND)
    other_kind = (first - 1) // len(KINDS) * len(KINDS) + rng.integers(len(KINDS), size=first.shape) + 1
    in_thumbnail = np.arange(len(first))[:, None] == 0
    second = np.where(torn | in_thumbnail & (rng.random(first.shape) < 0.5), OTHER_PART[first], other_kind)
    second = np.where(first == BACKGROUND, cells.likely, second)
    slips = np.where(cells.filled, FILLED_SLIPS, np.where(in_thumbnail, 0.01, 0.03))
    slip = (rng.random(first.shape) < slips) & (cells.coverage > 0) & ~torn
    return np.where(slip, second, first), np.where(slip, first, second)


def tokens_at(tokens: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Look up the probability of one word in each token."""
    return np.take_along_axis(tokens, words[..., None], axis=-1)[..., 0]


def made_up_batch(
    draw: Callable[[int], Scene], first_seed: int, most_tiles: int, tokens: int, words: int
) -> tuple[Batch, Array]:
    """Draw a batch of requests with visual tokens."""
    rng = np.random.default_rng([first_seed, 1])
    scenes = scenes_of_a_batch(draw, first_seed, most_tiles, tokens)
    sequences = [sequence_about(scene, grid, rng) for scene, grid in scenes]
    visual = [made_up_tokens(words_of(scene, grid), words, rng) for scene, grid in scenes]
    return batch_of([*sequences, greeting()]), np.concatenate(visual)


def language_batch(number: int, short_batches: int, words: int) -> tuple[Batch, Array]:
    """Draw the training batch of this number: the first `short_batches` are about pictures of a single tile."""
    most_tiles, tokens = (1, TOKENS_IN_SHORT_BATCH) if number < short_batches else (MAX_TILES + 1, TOKENS_IN_BATCH)
    return made_up_batch(draw_language_scene, FIRST_SEED + number * SEEDS_OF_A_BATCH, most_tiles, tokens, words)


def answers_right(w: Weights, config: Ovis2Config, batches: Iterable[tuple[Batch, Array]]) -> dict[str, float]:
    """Measure the percentage of answers of which every token is the model's first choice: "right", and by kind.

    That is the percentage that greedy decoding gets exactly right, without decoding.
    """
    right = defaultdict(list)
    for batch, visual_tokens in batches:
        first = answer_logits(w, config, batch, visual_tokens).argmax(-1) == batch.labels[batch.labels != NO_LABEL]
        ends = np.cumsum([length for _, length in batch.answers])[:-1]
        for (kind, _), tokens in zip(batch.answers, np.split(first, ends), strict=True):
            right[kind].append(bool(tokens.all()))
    del right["greeting"]
    every = {"right": [answer for answers in right.values() for answer in answers]}
    return {kind: 100 * float(np.mean(answers)) for kind, answers in (every | right).items()}


def start_table(table: Array, rng: np.random.Generator) -> None:
    """Initialise the visual embeddings so that similar words are similar: each the sum of its part, column, colour, kind."""
    sizes = len(PARTS), CELLS, len(COLOURS) + 1, len(KINDS)
    parts, columns, colours, kinds = (
        (table.std() * rng.standard_normal((n, table.shape[1]))).astype(table.dtype) for n in sizes
    )
    for word, (name, column, part) in enumerate(NAMES[1:], start=1):
        colour, kind = name.split()
        sums = parts[PARTS.index(part)] + columns[int(column[-1]) - 1]
        table[word] = sums + colours[[*COLOURS, GREY].index(colour)] + kinds[KINDS.index(kind)]


class LanguageStage:
    """All but the vision tower, on drawn visual tokens; pictures of a single tile, whose prompts are short, come first."""

    steps = 4600
    rate, processes = 2e-3, 1

    def __init__(self, weights: dict[str, Array], config: Ovis2Config, steps: int):
        self.config = config
        self.trained = {name: weight for name, weight in weights.items() if not name.startswith(VISION)}
        start_table(self.trained[VISUAL_EMBEDDINGS], np.random.default_rng(2))
        words = config.vision_config.vocab_size - config.vision_config.num_visual_indicator_tokens
        self.draw = partial(language_batch, short_batches=round(SHORT_PART * steps), words=words)
        self.held_out = [
            made_up_batch(
                draw_held_out_scene, DEVELOPMENT_SEED + k * SEEDS_OF_A_BATCH, MAX_TILES + 1, TOKENS_IN_BATCH, words
            )
            for k in range(max(1, HELD_OUT_BATCHES * steps // self.steps))
        ]

    def loss(self, w: Weights, batch: Batch, visual_tokens: Array) -> Array:
        """Compute the loss of the answers."""
        return answer_loss(answer_logits(w, self.config, batch, visual_tokens), batch)

    def measure(self, w: Weights) -> dict[str, float]:
        """Measure the percentage of right answers about held-out scenes."""
        return answers_right(w, self.config, self.held_out)
