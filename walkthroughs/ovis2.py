"""All of Ovis2 in one file: `python walkthroughs/ovis2.py picture.png "How many shapes are there?"` prints the answer.

Read it from top to bottom, as the picture travels. Each function is a formula, named as in the package ovis2_ref. Sizes:
n tiles of S x S pixels; P patches of D numbers in a tile; T visual tokens in a tile; t tokens of H numbers in the prompt.
"""
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors import deserialize
from tokenizers import Tokenizer

TINY = Path(__file__).resolve().parents[1] / "ovis2_ref" / "tiny"
USUAL = {"model_type": ["ovis2", "ovis2_vision", "qwen2", ""], "tokenize_function": ["softmax"], "hidden_act": ["silu"],
         "crop_to_patches": [True], "use_sliding_window": [False], "rope_scaling": [None], "rope_type": ["default"]}
SAME = {"input_layernorm": "rms_norm1", "self_attn": "attention", "post_attention_layernorm": "rms_norm2", "mlp": "ffn",
        "o_proj": "out_proj"}  # the parts of a block: Qwen2's names, and AIMv2's

# ---------------------------------------------------------------------- 1. The picture becomes tiles and a part of the prompt
def bicubic(x):  # the weight of a pixel at distance x: Keys' cubic with a = -1/2
    x = np.abs(x)
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, (((x - 5) * x + 8) * x - 4) * -0.5, 0))

def windows(size_in, size_out):  # W (out, in) of one axis: a new pixel is a weighted mean of the old ones around it
    centre = (np.arange(size_out)[:, None] + 0.5) * (size_in / size_out)  # (out, 1)
    W = bicubic((np.arange(size_in) - centre + 0.5) * (1 / max(size_in / size_out, 1)))  # wider if the picture shrinks
    W = W / np.cumsum(W, axis=1)[:, -1:]                            # added from left to right, as in Pillow
    return np.trunc(W * 2**22 + np.copysign(0.5, W)) / 2**22        # rounded to multiples of 2^-22, as in Pillow

def pillow_resize(picture, size):  # (3, h, w) -> (3, H, W), every byte as Pillow makes it
    (h, w), (H, W) = picture.shape[1:], size
    for axis in (1, 2) if h > H and h - H > 2 * (w - W) else (2, 1):  # the order of the passes in Pillow 13
        sums = windows(h, H) @ picture if axis == 1 else picture @ windows(w, W).T
        picture = np.clip(np.floor(sums + 0.5), 0, 255).astype(np.uint8)
    return picture

def covering_area(h, w, side):  # the pixels left of a region after its longer edge is shrunk to `side`
    return side * (min(h, w) / max(h, w) * side) if max(h, w) > side else h * w

def covering_grid(h, w, side, most):  # the grid (rows, columns) of fewest tiles that keeps over 90 % of the pixels
    kept = {}
    for rows, columns in [(a, b) for a in range(1, most + 1) for b in range(1, most // a + 1)]:
        heights = [h // rows] * (rows - 1) + [h - h // rows * (rows - 1)]
        widths = [w // columns] * (columns - 1) + [w - w // columns * (columns - 1)]
        kept[rows, columns] = sum(covering_area(y, x, side) for y in heights for x in widths) / (h * w)
    return min(kept, key=lambda g: (0, g[0] * g[1], -kept[g]) if kept[g] > 0.9 else (1, -kept[g], g[0] * g[1]))

def cut_canvas(picture, side, most):  # (3, h, w) -> (n, 3, S, S): a thumbnail of the whole, then the tiles of the grid
    columns, rows = covering_grid(*picture.shape[1:], side, most)   # transformers swaps the two, the authors don't
    canvas = pillow_resize(picture, (rows * side, columns * side))  # (3, rows S, columns S)
    tiles = canvas.reshape(3, rows, side, columns, side).transpose(1, 3, 0, 2, 4).reshape(-1, 3, side, side)
    thumbnail = [pillow_resize(picture, (side, side))] if len(tiles) > 1 else []
    return np.stack([*thumbnail, *tiles]), (rows, columns)

def pillow_values(tiles, mean, std):  # (x / 255 - mean) / std: bytes -> float32, with a mean and a std for each colour
    return ((tiles * (1 / 255)).astype(np.float32) - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]

def image_placeholder(grid, tokens_per_tile):  # an atom for each visual token; indicators mark the grid
    tile = "<IMG_ATOM>" * tokens_per_tile
    tiles = "<IMG_ROW>".join(["<IMG_COL>".join([tile] * grid[1])] * grid[0]) if grid != (1, 1) else ""
    return f"<IMG_START>{tile}<IMG_GRID>{tiles}<IMG_END>"

def render_chat(picture, question):  # Ovis2's chat template, up to where the assistant speaks
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    return f"{system}<|im_start|>user\n{picture}\n{question}<|im_end|>\n<|im_start|>assistant\n"

# ---------------------------------------------------------------------- 2. The block that both transformers repeat
def linear(x, w):  # W x + b; most layers have no b
    return x @ w["weight"].T + w.get("bias", 0)

def rms_norm(x, w, eps):  # weight * x / sqrt(mean(x^2) + eps)
    return w["weight"] * (x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps))

def softmax(x):  # exp(x_i) / sum_j exp(x_j): turns any numbers into probabilities
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def attend(q, k, v, mask=0):  # softmax(q k^T / sqrt(d) + mask) v, for every head: (..., heads, t, d)
    k, v = (np.repeat(y, q.shape[-3] // k.shape[-3], axis=-3) for y in (k, v))  # shared by groups of query heads
    return softmax(q @ k.swapaxes(-1, -2) * q.shape[-1]**-0.5 + mask) @ v

def attention(x, w, config, cache=None):  # every token looks at the others: (..., t, D) -> (..., t, D)
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads", config["num_attention_heads"])
    q, k, v = (linear(x, w[f"{name}_proj"]).reshape(*x.shape[:-1], number, -1).swapaxes(-2, -3)  # (..., heads, t, d)
               for name, number in (("q", heads), ("k", kv_heads), ("v", kv_heads)))
    context = attend(q, k, v) if cache is None else attend(*causal(q, k, v, config, cache))  # Qwen2 is causal: part 4
    return linear(context.swapaxes(-2, -3).reshape(*x.shape[:-1], -1), w["out_proj"])

@np.errstate(over="ignore")  # exp(-z) may become infinite: silu(z) is 0 then
def feed_forward(x, w):  # SwiGLU: W_down (silu(W_gate x) * W_up x), with silu(z) = z / (1 + exp(-z))
    gate = linear(x, w["gate_proj"])
    return linear(gate / (1 + np.exp(-gate)) * linear(x, w["up_proj"]), w["down_proj"])

def block(x, w, config, cache=None):  # x + attention(norm(x)), then x + feed_forward(norm(x))
    x = x + attention(rms_norm(x, w["rms_norm1"], config["rms_norm_eps"]), w["attention"], config, cache)
    return x + feed_forward(rms_norm(x, w["rms_norm2"], config["rms_norm_eps"]), w["ffn"])

# ---------------------------------------------------------------------- 3. AIMv2 turns tiles into visual tokens
def patch_embedding(tiles, w):  # W patch + b: (n, 3, S, S) -> (n, P, D)
    size, across = w["weight"].shape[-1], tiles.shape[-1] // w["weight"].shape[-1]
    x = tiles[:, :, :across * size, :across * size].reshape(len(tiles), 3, across, size, across, size)
    x = x.transpose(0, 2, 4, 1, 3, 5).reshape(len(tiles), across**2, -1)  # (n, P, 3 size^2)
    return x @ w["weight"].reshape(-1, x.shape[-1]).T + w["bias"]

def vision_transformer(tiles, w, config):  # (n, 3, S, S) -> (n, P, D)
    x = patch_embedding(tiles, w["embeddings"]["patch_embedding"])
    x = rms_norm(x, w["embeddings"]["rms_norm"], config["rms_norm_eps"]) + w["embeddings"]["position_embedding"]["weight"]
    for i in range(config["num_hidden_layers"]):
        x = block(x, w["encoder"]["layers"][str(i)], config)
    return rms_norm(x, w["rms_norm"], config["rms_norm_eps"])       # transformers has this norm, the authors don't

def merge_patches(x, s):  # s x s neighbours side by side, zeros beyond the edge: (n, P, D) -> (n, T, s^2 D)
    side = int(x.shape[1]**0.5)
    x = np.pad(x.reshape(len(x), side, side, -1), ((0, 0), (0, -side % s), (0, -side % s), (0, 0)))
    rows = x.shape[1] // s                                          # T = rows^2
    return x.reshape(len(x), rows, s, rows, s, -1).swapaxes(2, 3).reshape(len(x), rows**2, -1)

def layer_norm(x, w, eps=1e-5):  # weight * (x - mean) / sqrt(variance + eps) + bias
    return rms_norm(x - x.mean(axis=-1, keepdims=True), w, eps) + w["bias"]

def visual_tokens(merged, w):  # (n, T, s^2 D) -> (n, T, words): a probability for each visual word
    return softmax(layer_norm(linear(merged, w["head_linear"]), w["head_norm"]))

# ---------------------------------------------------------------------- 4. Qwen2 reads the prompt and answers
def merge_embeddings(ids, tokens, w, config):  # (t,), (n, T, words) -> (t, H)
    table = w["visual_embeddings_table"]["weight"]                  # (words + 5, H)
    x = w["language_model"]["embed_tokens"]["weight"][ids]          # text: the row of its id
    x[ids == config["image_token_id"]] = (tokens @ table[:-5]).reshape(-1, x.shape[-1])  # atoms: the expected row
    for row, indicator in enumerate(config["visual_indicator_token_ids"], start=len(table) - 5):
        x[ids == indicator] = table[row]                            # indicators: the last five rows
    return x

def rotary_tables(positions, d, theta):  # cos and sin of position * theta^(-2 i / d): (t, d / 2) each
    powers = np.float32(np.float64(theta) ** (np.arange(0, d, 2, dtype=np.float32) / d))
    angles = np.float32(positions)[:, None] * (1 / powers)
    return np.cos(angles), np.sin(angles)

def rotate(x, cos, sin):  # turn each pair (a, b) of a head, its numbers i and i + d / 2, by its angle
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

def update_cache(cache, k, v):  # append the new tokens' keys and values to those before: (kv_heads, tokens, d) each
    cache[:] = [np.concatenate([cache[0], k], axis=1), np.concatenate([cache[1], v], axis=1)] if cache else [k, v]
    return cache

def causal(q, k, v, config, cache):  # positions turn q and k, the cache adds earlier tokens, the mask hides later ones
    past, t, d = cache[0].shape[1] if cache else 0, q.shape[1], q.shape[2]
    cos, sin = rotary_tables(range(past, past + t), d, (config.get("rope_parameters") or config)["rope_theta"])
    k, v = update_cache(cache, rotate(k, cos, sin), v)
    return rotate(q, cos, sin), k, v, np.triu(np.full((t, past + t), -np.inf, np.float32), past + 1)

def decoder(x, w, config, caches):  # new tokens (t, H) behind those in the caches -> hidden states (t, H)
    for i, cache in enumerate(caches):
        x = block(x, w["layers"][str(i)], config, cache)
    return rms_norm(x, w["norm"], config["rms_norm_eps"])

def greedy(x, w, config, eos, most=256):  # the prompt (t, H) -> the likeliest next token, again and again
    language, made, caches = w["model"]["language_model"], [], [[] for _ in range(config["num_hidden_layers"])]
    while len(made) < most and not np.isin(made[-1:], eos).any():
        hidden = decoder(x, language, config, caches)               # (t, H), later (1, H)
        made.append(int(linear(hidden[-1], w.get("lm_head", language["embed_tokens"])).argmax()))
        x = language["embed_tokens"]["weight"][made[-1:]]           # (1, H)
    return made

# ---------------------------------------------------------------------- 5. A checkpoint, and the whole way
def usual(settings):
    if other := {key: value for key, value in settings.items() if value not in USUAL.get(key, [value])}:
        sys.exit(f"this file runs checkpoints like the released ones, in the layout of transformers; not {other}")
    return settings

def read_config(folder):  # the settings of all its files
    files = [json.loads(file.read_text(), object_hook=usual) for file in sorted(folder.glob("*config.json"))]
    return {key: value for file in files for key, value in (file | file.get("image_processor", {})).items()}

def read_weights(folder):  # as a tree: w["model"]["vision_tower"]["head_linear"]["weight"]
    tree = {}
    for name, tensor in [pair for file in sorted(folder.glob("model*.safetensors")) for pair in deserialize(file.read_bytes())]:
        kind, shift = {"F32": (np.uint32, 0), "BF16": (np.uint16, 16)}[tensor["dtype"]]  # bfloat16: the upper half of a float32
        numbers = (np.frombuffer(tensor["data"], kind).astype(np.uint32) << shift).view(np.float32)
        part, (*path, last) = tree, (SAME.get(key, key) for key in name.split("."))
        for key in path:
            part = part.setdefault(key, {})
        part[last] = numbers.reshape(tensor["shape"])
    return tree

def describe(picture=TINY / "samples/three_shapes.png", question="Describe the image.", folder=TINY / "checkpoint"):
    config, w, tokenizer = read_config(Path(folder)), read_weights(Path(folder)), Tokenizer.from_file(f"{folder}/tokenizer.json")
    vision, tower = config["vision_config"], w["model"]["vision_tower"]
    picture = np.asarray(ImageOps.exif_transpose(Image.open(picture)).convert("RGB")).transpose(2, 0, 1)        # (3, h, w)
    tiles, grid = cut_canvas(picture, config["size"]["height"], config["max_patches"])                          # (n, 3, S, S)
    x = vision_transformer(pillow_values(tiles, config["image_mean"], config["image_std"]), tower["transformer"], vision)
    tokens = visual_tokens(merge_patches(x, vision["hidden_stride"]), tower)                                    # (n, T, V)
    ids = np.array(tokenizer.encode(render_chat(image_placeholder(grid, tokens.shape[1]), question)).ids)       # (t,)
    x = merge_embeddings(ids, tokens, w["model"], config)                                                       # (t, H)
    return tokenizer.decode(greedy(x, w, config["text_config"], (config["text_config"] | config)["eos_token_id"]))

if __name__ == "__main__":
    print(describe(*sys.argv[1:]))
