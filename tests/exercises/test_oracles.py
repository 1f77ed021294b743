"""Libraries' functions, handed in as a student's answers, pass: the oracles are right, and no right answer is refused."""

import copy
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import Qwen2Config, RepetitionPenaltyLogitsProcessor, TopPLogitsWarper
from transformers.image_transforms import normalize, rescale
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding, apply_rotary_pos_emb

from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.checking import check
from tests.image.drawn import Reference

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
T = torch.from_numpy
theirs = sys.modules[Reference.__module__]
"""transformers' module with the search for a grid."""


def rms_norm(x, weight, eps):
    return F.rms_norm(T(x), weight.shape, T(weight), eps).numpy()


def softmax(x):
    return torch.softmax(T(x), dim=-1).numpy()


def layer_norm(x, weight, bias, eps):
    return F.layer_norm(T(x), weight.shape, T(weight), T(bias), eps).numpy()


def pixel_values(levels, factor, mean, std):
    return normalize(
        rescale(levels, factor, dtype=np.float32), mean.tolist(), std.tolist(), input_data_format="channels_first"
    )


def swiglu(x, gate_proj, up_proj, down_proj):
    x, gate_proj, up_proj, down_proj = map(T, (x, gate_proj, up_proj, down_proj))
    return F.linear(F.silu(F.linear(x, gate_proj)) * F.linear(x, up_proj), down_proj).numpy()


def scaled_attention(q, k, v):
    return F.scaled_dot_product_attention(T(q)[None], T(k)[None], T(v)[None])[0].numpy()


def grouped_query_attention(q, k, v, mask):
    y = F.scaled_dot_product_attention(T(q), T(k), T(v), attn_mask=T(mask), enable_gqa=True)
    return y.transpose(1, 2).flatten(2).numpy()


def visual_tokens(merged, head, norm_weight, norm_bias):
    logits = F.linear(T(merged), T(head))
    return F.layer_norm(logits, norm_weight.shape, T(norm_weight), T(norm_bias)).softmax(dim=-1).numpy()


def expected_embedding(tokens, table):
    padded = F.pad(T(tokens), (0, len(table) - tokens.shape[-1]))  # as both programs do it
    return torch.matmul(padded, T(table)).numpy()


def split_heads(x, heads):
    batch, tokens, _ = x.shape
    return T(x).view(batch, tokens, heads, -1).transpose(1, 2).numpy()


def cut_tiles(canvas, thumbnail):
    side = thumbnail.shape[-1]
    tiles = T(canvas).unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4).flatten(0, 1)
    return (torch.cat([T(thumbnail)[None], tiles]) if len(tiles) > 1 else tiles).numpy()


def patches(pixel_values, p):
    return F.unfold(T(pixel_values), p, stride=p).transpose(1, 2).numpy()


def merge_patches(features, stride):
    tiles, count, hidden = features.shape
    grid = T(features).transpose(1, 2).reshape(tiles, hidden, round(count**0.5), -1)
    squares = F.unfold(grid, stride, stride=stride).reshape(tiles, hidden, stride * stride, -1)
    return squares.permute(0, 3, 2, 1).flatten(2).numpy()


def merge_embeddings(ids, text, visual, indicators, atom_id, indicator_ids):
    merged = T(text).masked_scatter((T(ids) == atom_id)[:, :, None], T(visual))
    for i, indicator_id in enumerate(indicator_ids):
        merged = torch.where((T(ids) == indicator_id)[:, :, None], T(indicators)[i], merged)
    return merged.numpy()


def rotary_tables(positions, head_dim, theta):
    config = Qwen2Config(
        hidden_size=head_dim,
        num_attention_heads=1,
        rope_theta=theta,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    cos, sin = Qwen2RotaryEmbedding(config)(torch.zeros(1), T(positions))
    return cos[..., : head_dim // 2].numpy(), sin[..., : head_dim // 2].numpy()


def rotate(x, cos, sin):
    cos, sin = (T(np.concatenate([table, table], axis=-1)) for table in (cos, sin))
    return apply_rotary_pos_emb(T(x), T(x), cos, sin)[0].numpy()


def repetition_penalty(ids, scores, penalty):
    return RepetitionPenaltyLogitsProcessor(penalty)(T(ids), T(scores)).numpy()


def draw_token(logits, temperature, uniform):
    edges = torch.softmax(T(logits) / temperature, dim=-1).cumsum(dim=-1)
    edges /= edges[:, -1:].clone()  # rounded, the last is beside 1
    return torch.searchsorted(edges, T(uniform)[:, None], right=True)[:, 0].numpy()


def top_p(scores, p):
    return TopPLogitsWarper(p)(torch.zeros(1, 1), T(scores)).numpy()


def round_to_bfloat16(x):
    return T(x).bfloat16().float().numpy()


def covering_area(height, width, side):
    return theirs.compute_patch_covering_area(0, 0, width, height, side)


def split_regions(height, width, rows, columns):
    return theirs.split_image_into_grid(height, width, (rows, columns))


LIBRARIES = (
    *(rms_norm, softmax, layer_norm, pixel_values, swiglu, scaled_attention, grouped_query_attention, visual_tokens),
    *(expected_embedding, split_heads, cut_tiles, patches, merge_patches, merge_embeddings, rotary_tables, rotate),
    *(repetition_penalty, draw_token, top_p, round_to_bfloat16, covering_area, split_regions),
)


@pytest.mark.parametrize("function", LIBRARIES, ids=lambda f: f.__name__)
def test_a_librarys_function_passes(function):
    """torch's, transformers' or torchvision's, as an answer."""
    failure = check(BY_NAME[function.__name__], lambda **inputs: function(**copy.deepcopy(inputs)))
    assert failure is None, failure


@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
def test_four_answers_together_are_pillows_resize(name):
    """The filter, its matrix, the fixed point and the pass, one after the other: every byte as Pillow has it."""
    cubic, matrix, fixed, resize = (BY_NAME[e].answer for e in ("cubic", "resize_matrix", "fixed_point", "resize_pass"))
    kernel, support = (cubic, 2.0) if name == "bicubic" else (lambda x: np.maximum(1 - np.abs(x), 0), 1.0)
    rng = np.random.default_rng(1)
    for (height, width), (new_height, new_width) in (
        ((5, 7), (9, 4)),
        ((20, 13), (8, 8)),
        ((6, 6), (13, 11)),
        ((31, 9), (4, 17)),
    ):
        picture = rng.integers(0, 2, (height, width), dtype=np.uint8) * np.uint8(255)
        wide = resize(picture.T, fixed(matrix(width, new_width, kernel, support), 22)).T
        ours = resize(wide, fixed(matrix(height, new_height, kernel, support), 22))
        tall = resize(picture, fixed(matrix(height, new_height, kernel, support), 22))
        other = resize(tall.T, fixed(matrix(width, new_width, kernel, support), 22)).T
        pillow = np.asarray(
            Image.fromarray(picture).resize((new_width, new_height), getattr(Image.Resampling, name.upper()))
        )
        assert np.array_equal(pillow, ours) or np.array_equal(pillow, other)


@pytest.mark.parametrize(("height", "width"), [(30, 40), (100, 20), (50, 50), (90, 35), (64, 200), (17, 130)])
def test_three_answers_together_choose_transformers_grid(height, width):
    """Areas of all regions over the picture's area, for every grid that transformers tries.

    The area is the oracle's: at 90 x 35 its order of operations decides.
    """
    area = BY_NAME["covering_area"].expected
    regions, choose = (BY_NAME[e].answer for e in ("split_regions", "choose_grid"))
    for most in (4, 6, 9):
        grids = [(a, b) for a in range(1, most + 1) for b in range(1, most + 1) if a * b <= most]
        kept = {
            (rows, columns): sum(
                area(lower - upper, right - left, 28)
                for left, upper, right, lower in regions(height, width, rows, columns)
            )
            / (height * width)
            for rows, columns in sorted(grids, key=lambda grid: grid[0] * grid[1])
        }
        assert choose(kept, 0.9) == tuple(theirs.get_min_tile_covering_grid((height, width), 28, most, 0.9))
