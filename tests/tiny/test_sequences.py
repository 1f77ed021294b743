"""Many requests in one sequence compute what one sequence for each would."""

import numpy as np
import pytest

pytest.importorskip("transformers", minversion="5.0", reason="the oracle is transformers 5's model")
import torch

from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny.training.configuration import build_processor, model_config
from ovis2_ref.tiny.training.evaluate import questions_about
from ovis2_ref.tiny.training.language_stage import answer_logits, made_up_tokens
from ovis2_ref.tiny.training.pictures import grid_of, pixels_of, words_of
from ovis2_ref.tiny.training.sequences import (
    START_OF_PROMPT,
    Sequence,
    answer_ids,
    batch_of,
    greeting,
    picture_ids,
    request_ids,
    token_ids,
)  # fmt: skip
from ovis2_ref.tiny.training.vision_stage import word_logits
from tests.tiny.in_torch import torch_model


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1])
def test_packed_requests_give_the_logits_of_single_ones(seed):
    """Prefix, segments, mask and positions give each answer the logits that transformers gives it on its own."""
    torch.set_num_threads(1)
    config = model_config()
    weights = random_weights(config, seed)
    model, w = torch_model(weights).eval(), Weights(weights)
    processor = build_processor()
    scene, questions = questions_about(seed)
    prefix = token_ids(START_OF_PROMPT) + picture_ids(grid_of(scene))
    packed = Sequence(prefix, [(q.kind, request_ids(q.request), answer_ids(q.answer)) for q in questions])
    batch = batch_of([packed, greeting()])
    visual_tokens = softmax(word_logits(w / "model" / "vision_tower", config.vision_config, pixels_of(scene)))
    logits = answer_logits(w, config, batch, visual_tokens)
    logits = np.split(logits, np.cumsum([length for _, length in batch.answers])[:-1])
    for question, mine in zip(questions, logits, strict=False):
        content = [{"type": "image"}, {"type": "text", "text": question.request}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        text = prompt + question.answer + "<|im_end|>"
        inputs = processor(images=scene.render(), text=text, return_tensors="pt")
        theirs = model(**inputs).logits[0, -len(mine) - 1 : -1]
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-4, atol=1e-4)


def test_made_up_tokens_are_distributions_that_mostly_name_the_right_word():
    """They add up to one, and the thumbnail's sure cells are nearly always right."""
    rng = np.random.default_rng(0)
    right = []
    for seed in range(30):
        scene = questions_about(seed)[0]
        cells = words_of(scene, grid_of(scene))
        tokens = made_up_tokens(cells, 251, rng)
        # One of 251 equal parts of 0.02 is replaced; a sum of 251 is off by 251 u.
        np.testing.assert_allclose(tokens.sum(-1), 1, rtol=0, atol=0.02 / 251 + 251 * np.finfo(np.float32).eps)
        sure = cells.words[0] >= 0
        right.append((tokens[0].argmax(-1) == cells.words[0])[sure].mean())
    assert np.mean(right) > 0.95
