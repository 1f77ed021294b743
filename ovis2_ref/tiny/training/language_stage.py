"""Stage two: the language model and the visual embedding table alone learn to answer.

No picture is drawn and no vision tower runs: the visual tokens are made up from the known words of the cells, with
slips and doubts like those of a vision tower. Runs beside stage one.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.pictures import CELLS, MAX_TILES, WORDS, CellWords, grid_of, tile_count, words_of
from ovis2_ref.tiny.training.scenes import BACKGROUND, COLOURS, DEVELOPMENT_SEED, KINDS, UNSURE, Scene, draw_scene
from ovis2_ref.tiny.training.sequences import NO_LABEL, Batch, batch_of, greeting, sequence_about

SHORT_STEPS, TOKENS_IN_SHORT_BATCH = 1000, 3000
TOKENS_IN_BATCH = 5000
TOKENS_PER_TILE, TOKENS_OF_REQUESTS = 17, 220


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


def answer_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Average the cross-entropy over the tokens of all answers."""
    return cross_entropy(logits, batch.labels[batch.labels != NO_LABEL])


def scene_batches(first_seed: int, most_tiles: int, tokens: int) -> Iterator[list[tuple[Scene, tuple[int, int]]]]:
    """Draw scenes for ever, in batches of the same number of tiles and of about the same number of tokens."""
    waiting = defaultdict(list)
    seed = first_seed
    while True:
        scene = draw_scene(seed)
        seed += 1
        grid = grid_of(scene)
        tiles = tile_count(grid)
        if tiles > most_tiles:
            continue
        waiting[tiles].append((scene, grid))
        if len(waiting[tiles]) * (TOKENS_PER_TILE * tiles + TOKENS_OF_REQUESTS) >= tokens:
            yield waiting.pop(tiles)


def made_up_tokens(cells: CellWords, words: int, rng: np.random.Generator) -> np.ndarray:
    """Make visual tokens, (tiles, 16, words), as a good but not perfect vision tower would.

    A cell that shows little of a shape is background or the shape. Slips are to another kind of the same colour,
    often in cut-up tiles, seldom in the thumbnail. Every token leaves some of its probability to a second word.
    """
    hidden = (cells.words == UNSURE) & (rng.random(cells.words.shape) < 0.5)
    first = np.where(hidden, BACKGROUND, cells.likely)
    other_kind = (first - 1) // len(KINDS) * len(KINDS) + rng.integers(len(KINDS), size=first.shape) + 1
    other_kind = np.where(first == BACKGROUND, cells.likely, other_kind)
    slip = rng.random(first.shape) < np.where(np.arange(len(first)) == 0, 0.01, 0.08)[:, None]
    slip &= cells.coverage > 0
    first, second = np.where(slip, other_kind, first), np.where(slip, first, other_kind)
    doubt = rng.beta(0.2, 2.0, size=first.shape) * 0.8
    doubt = np.where(rng.random(first.shape) < 0.5, doubt, 0.0)
    tokens = np.full((*first.shape, words), 0.02 / words, dtype=np.float32)
    np.put_along_axis(tokens, first[..., None], (0.98 * (1 - doubt))[..., None], axis=-1)
    np.put_along_axis(tokens, second[..., None], (tokens_at(tokens, second) + 0.98 * doubt)[..., None], axis=-1)
    return tokens


def tokens_at(tokens: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Look up the probability of one word in each token."""
    return np.take_along_axis(tokens, words[..., None], axis=-1)[..., 0]


def made_up_batches(first_seed: int, most_tiles: int, tokens: int, words: int) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Make up batches of requests with visual tokens."""
    rng = np.random.default_rng(first_seed)
    for scenes in scene_batches(first_seed, most_tiles, tokens):
        sequences = [sequence_about(scene, grid, rng) for scene, grid in scenes]
        visual = [made_up_tokens(words_of(scene, grid), words, rng) for scene, grid in scenes]
        yield batch_of([*sequences, greeting()]), torch.from_numpy(np.concatenate(visual))


@torch.no_grad()
def answers_right(model: Ovis2ForConditionalGeneration, batches: list[tuple[Batch, torch.Tensor]]) -> str:
    """Tell by kind of request the percentage of answers of which every token is the model's first choice.

    That is the percentage that greedy decoding gets exactly right, without decoding.
    """
    right = defaultdict(list)
    for batch, visual_tokens in batches:
        first = answer_logits(model, batch, visual_tokens).argmax(-1) == batch.labels[batch.labels != NO_LABEL]
        for (kind, _), tokens in zip(batch.answers, first.split([n for _, n in batch.answers]), strict=True):
            right[kind].append(bool(tokens.all()))
    every = [answer for kind, answers in right.items() for answer in answers if kind != "greeting"]
    return f"{100 * np.mean(every):.1f} %: " + " ".join(f"{kind} {100 * np.mean(it):.0f}" for kind, it in right.items())


@torch.no_grad()
def start_table(table: nn.Embedding) -> None:
    """Start with visual embeddings that are alike where the words are: the sum of a colour's, a kind's and a column's."""
    spread, size = table.weight.std(), table.embedding_dim
    colours, kinds, columns = (torch.randn(n, size) * spread for n in (len(COLOURS), len(KINDS), CELLS))
    sums = columns[:, None, None] + colours[None, :, None] + kinds[None, None]
    table.weight[1 : len(WORDS)] = sums.reshape(-1, size)


def train_language(model: Ovis2ForConditionalGeneration, trainer: Trainer, first_seed: int, report) -> None:
    """Train all but the vision tower; pictures of a single tile, whose prompts are short, come first."""
    start_table(model.model.visual_embeddings_table)
    words = model.config.vision_config.vocab_size - len(model.config.visual_indicator_token_ids)
    short = made_up_batches(first_seed, 1, TOKENS_IN_SHORT_BATCH, words)
    every = made_up_batches(first_seed + 50_000_000, MAX_TILES + 1, TOKENS_IN_BATCH, words)
    test_short = list(islice(made_up_batches(DEVELOPMENT_SEED, 1, TOKENS_IN_BATCH, words), 3))
    test_every = list(islice(made_up_batches(DEVELOPMENT_SEED, MAX_TILES + 1, TOKENS_IN_BATCH, words), 8))
    while trainer.step < trainer.steps:
        batches, test = (short, test_short) if trainer.step < SHORT_STEPS else (every, test_every)
        batch, visual_tokens = next(batches)
        loss = trainer.update(answer_loss(answer_logits(model, batch, visual_tokens), batch))
        if trainer.is_time_to_report():
            report(trainer, loss, answers_right(trainer.average, test))
