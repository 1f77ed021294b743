"""The stages of the tiny model's training in torch, through transformers: the oracle of training."""

import math
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ovis2_ref.checkpoint.names import VISION
from ovis2_ref.tiny.training.configuration import model_config
from ovis2_ref.tiny.training.optimisation import DECAY, LAST_RATE, WARM_UP
from ovis2_ref.tiny.training.pictures_stage import POWER_OF_LENGTH
from tests.oracle import reference_config


def torch_model(weights):
    """Return transformers' model with these weights, its attention that of the fastest backend in float32."""
    import transformers

    tensors = {name: torch.from_numpy(weight.copy()) for name, weight in weights.items()}
    dtype = next(iter(tensors.values())).dtype
    config = reference_config(model_config())
    config._attn_implementation = "sdpa" if dtype == torch.float32 else "eager"
    model = transformers.Ovis2ForConditionalGeneration(config).to(dtype)
    model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    return model.train()


def word_logits(model, pixels):
    """The logits whose softmax the visual tokens are (transformers takes it in float32)."""
    tower = model.model.vision_tower
    return tower.head_norm(tower.head_linear(tower(torch.from_numpy(pixels)).last_hidden_state))


def vision_loss(model, pixels, words):
    """The mean cross-entropy of the sure cells."""
    return cross_entropy(
        word_logits(model, pixels).flatten(0, -2), torch.from_numpy(words).flatten(), ignore_index=-100
    )


def language_loss(model, batch, visual_tokens, power=1.0):
    """The answers' cross-entropy, each divided by a power of its length."""
    table = model.model.visual_embeddings_table.weight
    tokens = visual_tokens if isinstance(visual_tokens, torch.Tensor) else torch.from_numpy(visual_tokens)
    words = tokens.shape[-1]
    visual = SimpleNamespace(pooler_output=tokens @ table[:words], visual_indicator_features=table[words:])
    ids, positions, labels, mask = map(torch.from_numpy, (batch.ids, batch.positions, batch.labels, batch.mask))
    mask = torch.zeros(mask.shape, dtype=table.dtype).masked_fill(~mask, torch.finfo(table.dtype).min)
    hidden = model.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        mm_encoder_outputs={"image": visual},
        use_cache=False,
    ).last_hidden_state
    logits = model.lm_head(hidden[labels != -100])
    losses = cross_entropy(logits, labels[labels != -100], reduction="none")
    lengths = torch.tensor([length for _, length in batch.answers])
    return (losses / lengths.repeat_interleave(lengths).to(losses.dtype) ** power).sum() / len(lengths)


def pictures_loss(model, batch, pixels):
    """The same of what the vision tower sees."""
    with torch.no_grad():
        tokens = word_logits(model, pixels).softmax(-1)
    return language_loss(model, batch, tokens, POWER_OF_LENGTH)


LOSSES = {"vision": vision_loss, "language": language_loss, "pictures": pictures_loss}


class TorchTrainer:
    """torch's AdamW and clipping, at the rate that training has."""

    def __init__(self, model, stage, rate, decay_steps):
        self.model, self.rate, self.decay_steps, self.step = model, rate, decay_steps, 0
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.startswith(VISION) == (stage == "vision"))
        self.trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        matrices = [weight for weight in self.trained.values() if weight.ndim > 1]
        others = [weight for weight in self.trained.values() if weight.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))

    def update(self, loss):
        """Take one step, and return the loss."""
        turn = math.cos(math.pi * self.step / self.decay_steps)
        rate = self.rate * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + turn))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / (WARM_UP * self.decay_steps))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())
