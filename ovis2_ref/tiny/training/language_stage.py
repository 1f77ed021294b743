"""Stage two: the language model and the visual embedding table alone learn to answer.

No picture is drawn and no vision tower runs: the visual tokens are drawn from the known words of the cells, with errors
and doubts like those of a vision tower. Runs beside stage one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny.training.pictures import MAX_TILES, CellWords, grid_of, grid_of_size, tile_count, words_of
from ovis2_ref.tiny.training.scenes import (
    BACKGROUND,
    COLOURED_SHAPES,
    COLOURS,
    DEVELOPMENT_SEED,
    KINDS,
    UNSURE,
    Scene,
    draw_language_scene,
    draw_scene,
    size_of,
)
from ovis2_ref.tiny.training.sequences import NO_LABEL, Batch, batch_of, greeting, sequence_about
from ovis2_ref.tiny.training.words import CELLS, PARTS, WORDS, word_of

FIRST_SEED = 200_000_000
SHORT_PART = 0.6
"""The part of the steps, the first, that sees pictures of a single tile only."""
TOKENS_IN_SHORT_BATCH, TOKENS_IN_BATCH = 3000, 5000
TOKENS_PER_TILE, TOKENS_OF_REQUESTS = 17, 280
SEEDS_OF_A_BATCH = 4000
"""Batches start this many seeds apart: enough to find the scenes of one, whatever its number of tiles."""
HELD_OUT_BATCHES = 8
FIRST_CENTRE = word_of(COLOURED_SHAPES[0], 0, "centre")
"""The first word for a centre; the words from here on are all for centres."""
UNLIKELY, NOISE = 0.02, 1.4
"""Centres with less than this chance to seem in a cell never do. `NOISE` is the spread of the others' logits."""


def answer_logits(model: Ovis2ForConditionalGeneration, batch: Batch, visual_tokens: torch.Tensor) -> torch.Tensor:
    """Compute the logits where there is a label. `visual_tokens` are distributions (tiles, 16, words), indicators left out."""
    table = model.model.visual_embeddings_table.weight
    words = visual_tokens.shape[-1]
    visual = SimpleNamespace(pooler_output=visual_tokens @ table[:words], visual_indicator_features=table[words:])
    hidden = model.model(
        input_ids=batch.ids,
        attention_mask=batch.mask,
        position_ids=batch.positions,
        mm_encoder_outputs={"image": visual},
        use_cache=False,
    ).last_hidden_state
    return model.lm_head(hidden[batch.labels != NO_LABEL])


def answer_loss(logits: torch.Tensor, batch: Batch, power: float = 1.0) -> torch.Tensor:
    """Sum the cross-entropy over the tokens of each answer, divide by a power of their number, and average over answers.

    With the power 1 a "Yes." counts as much as a description of a dozen tokens; averaged over all tokens it would hardly be
    learnt. With 1/2 its tokens count about as much as those of a description that is asked for as often.
    """
    losses = cross_entropy(logits, batch.labels[batch.labels != NO_LABEL], reduction="none")
    lengths = torch.tensor([length for _, length in batch.answers], device=losses.device)
    return (losses / lengths.repeat_interleave(lengths) ** power).sum() / len(lengths)


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
    doubt_of_place = np.where(first >= FIRST_CENTRE, 1 / (1 + odds), odds / (1 + odds))
    doubt = np.where(near_border & (first != BACKGROUND) & (second != BACKGROUND), doubt_of_place, doubt)
    tokens = np.full((*first.shape, words), 0.02 / words, dtype=np.float32)
    np.put_along_axis(tokens, first[..., None], (0.98 * (1 - doubt))[..., None], axis=-1)
    np.put_along_axis(tokens, second[..., None], (tokens_at(tokens, second) + 0.98 * doubt)[..., None], axis=-1)
    return tokens


def two_words(cells: CellWords, near_border: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the word that each token names, and the one that it could be taken for.

    A cell that shows little of a shape is background or the shape. Errors are another kind of the same colour, or, in the
    thumbnail, the centre taken for another part and the reverse.
    """
    hidden = (cells.words == UNSURE) & (cells.centre_chance < 0.5) & (rng.random(cells.words.shape) < 0.5)
    first = np.where(hidden, BACKGROUND, cells.likely)
    torn = near_border & (first != BACKGROUND)
    other_kind = (first - 1) // len(KINDS) * len(KINDS) + rng.integers(len(KINDS), size=first.shape) + 1
    other_part = (first - 1 + FIRST_CENTRE - 1) % (len(WORDS) - 1) + 1
    in_thumbnail = np.arange(len(first))[:, None] == 0
    second = np.where(torn | in_thumbnail & (rng.random(first.shape) < 0.5), other_part, other_kind)
    second = np.where(first == BACKGROUND, cells.likely, second)
    slip = (rng.random(first.shape) < np.where(in_thumbnail, 0.01, 0.03)) & (cells.coverage > 0) & ~torn
    return np.where(slip, second, first), np.where(slip, first, second)


def tokens_at(tokens: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Look up the probability of one word in each token."""
    return np.take_along_axis(tokens, words[..., None], axis=-1)[..., 0]


def made_up_batch(
    draw: Callable[[int], Scene], first_seed: int, most_tiles: int, tokens: int, words: int
) -> tuple[Batch, torch.Tensor]:
    """Draw a batch of requests with visual tokens."""
    rng = np.random.default_rng([first_seed, 1])
    scenes = scenes_of_a_batch(draw, first_seed, most_tiles, tokens)
    sequences = [sequence_about(scene, grid, rng) for scene, grid in scenes]
    visual = [made_up_tokens(words_of(scene, grid), words, rng) for scene, grid in scenes]
    return batch_of([*sequences, greeting()]), torch.from_numpy(np.concatenate(visual))


def language_batch(number: int, short_batches: int, words: int) -> tuple[Batch, torch.Tensor]:
    """Draw the training batch of this number: the first `short_batches` are about pictures of a single tile."""
    most_tiles, tokens = (1, TOKENS_IN_SHORT_BATCH) if number < short_batches else (MAX_TILES + 1, TOKENS_IN_BATCH)
    return made_up_batch(draw_language_scene, FIRST_SEED + number * SEEDS_OF_A_BATCH, most_tiles, tokens, words)


@torch.no_grad()
def answers_right(
    model: Ovis2ForConditionalGeneration, batches: Iterable[tuple[Batch, torch.Tensor]]
) -> dict[str, float]:
    """Measure the percentage of answers of which every token is the model's first choice: "right", and by kind.

    That is the percentage that greedy decoding gets exactly right, without decoding.
    """
    right = defaultdict(list)
    for batch, visual_tokens in batches:
        first = answer_logits(model, batch, visual_tokens).argmax(-1) == batch.labels[batch.labels != NO_LABEL]
        for (kind, _), tokens in zip(batch.answers, first.split([n for _, n in batch.answers]), strict=True):
            right[kind].append(bool(tokens.all()))
    del right["greeting"]
    every = {"right": [answer for answers in right.values() for answer in answers]}
    return {kind: 100 * float(np.mean(answers)) for kind, answers in (every | right).items()}


@torch.no_grad()
def start_table(table: nn.Embedding) -> None:
    """Initialise the visual embeddings so that similar words are similar: each the sum of its part, column, colour, kind."""
    spread, size = table.weight.std(), table.embedding_dim
    counts = len(PARTS), CELLS, len(COLOURS), len(KINDS)
    parts, columns, colours, kinds = (torch.randn(n, size) * spread for n in counts)
    sums = parts[:, None, None, None] + columns[:, None, None] + colours[:, None] + kinds
    table.weight[1 : len(WORDS)] = sums.reshape(-1, size)


class LanguageStage:
    """All but the vision tower, on drawn visual tokens; pictures of a single tile, whose prompts are short, come first."""

    steps = 4000
    rate, processes = 2e-3, 1

    def __init__(self, model: Ovis2ForConditionalGeneration, steps: int):
        self.trained = model
        model.model.vision_tower.requires_grad_(False)
        start_table(model.model.visual_embeddings_table)
        words = model.config.vision_config.vocab_size - len(model.config.visual_indicator_token_ids)
        self.draw = partial(language_batch, short_batches=round(SHORT_PART * steps), words=words)
        self.held_out = []
        for k in range(max(1, HELD_OUT_BATCHES * steps // self.steps)):
            seed = DEVELOPMENT_SEED + k * SEEDS_OF_A_BATCH
            batch, visual_tokens = made_up_batch(draw_scene, seed, MAX_TILES + 1, TOKENS_IN_BATCH, words)
            self.held_out.append((batch.to(model.device), visual_tokens.to(model.device)))

    def loss(self, batch: Batch, visual_tokens: torch.Tensor) -> torch.Tensor:
        """Compute the loss of the answers."""
        return answer_loss(answer_logits(self.trained, batch, visual_tokens), batch)

    def measure(self, model: Ovis2ForConditionalGeneration) -> dict[str, float]:
        """Measure the percentage of right answers about held-out scenes."""
        return answers_right(model, self.held_out)
