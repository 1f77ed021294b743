"""The last exercise: the tiny model, put together from the exercises' functions, the student's own where they are written.

`Assembled` is all of Ovis2 in terms of these functions, for one picture and the greedy answer. It runs in this process, as an
import of the student's files would: it marks nothing.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from ovis2_ref.errors import InputError
from ovis2_ref.exercises.folder import Folder
from ovis2_ref.exercises.submission import load
from ovis2_ref.golden.file import VERSION, Golden, write_golden
from ovis2_ref.tiny import SAMPLE, TINY

QUESTION = "Describe the image."
PARTS = (
    *(
        "covering_area",
        "split_regions",
        "choose_grid",
        "cubic",
        "resize_matrix",
        "fixed_point",
        "resize_pass",
        "cut_tiles",
    ),
    *(
        "pixel_values",
        "patches",
        "rms_norm",
        "split_heads",
        "scaled_attention",
        "swiglu",
        "merge_patches",
        "visual_tokens",
    ),
    *(
        "expected_embedding",
        "image_layout",
        "merge_embeddings",
        "rotary_tables",
        "rotate",
        "update_cache",
        "causal_mask",
    ),
    *("grouped_query_attention", "greedy"),
)
"""The exercises that a greedy answer needs, in the order of the picture's way."""
VIT, QWEN = "model.vision_tower.transformer", "model.language_model"


class Assembled:
    """The tiny Ovis2 on functions `f`, with the values of its last run under the names of golden files."""

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        """Read the embedded checkpoint."""
        self.f = SimpleNamespace(**functions)
        self.w = load_file(TINY / "model.safetensors")
        self.config = json.loads((TINY / "config.json").read_text(encoding="utf-8"))
        self.image = json.loads((TINY / "processor_config.json").read_text(encoding="utf-8"))["image_processor"]
        self.tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
        self.taps: dict[str, np.ndarray] = {}

    def describe(self, picture: Path, new_tokens: int = 64) -> str:
        """Return the answer to `QUESTION`."""
        self.taps.clear()
        levels = np.asarray(Image.open(picture).convert("RGB")).transpose(2, 0, 1)  # (3, h, w)
        tiles, (rows, columns) = self._tiles(levels)
        tokens = self._visual_tokens(tiles)  # (n, T, words)
        placeholder = "".join(self.f.image_layout(rows, columns, tokens.shape[1]))
        chat = (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{placeholder}\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        )
        self._prompt = self.tokenizer.encode(chat).ids
        self._merged = self._tap(f"{QWEN}.inputs_embeds", self._embeddings(tokens))
        self._stores: list[list[np.ndarray]] = []
        self._length = 0
        end = self.config["eos_token_id"][0]
        return str(self.tokenizer.decode(self.f.greedy(self._logits, list(self._prompt), end, new_tokens)))

    def _tap(self, name: str, value: np.ndarray) -> np.ndarray:
        """Keep the first value under `name`, that of the prompt."""
        self.taps.setdefault(name, np.array(value))
        return value

    def _tiles(self, levels: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """(3, h, w) -> pixel values (n, 3, S, S), and the grid."""
        _, height, width = levels.shape
        side, most = self.image["size"]["height"], self.image["max_patches"]
        grids = [(a, b) for a in range(1, most + 1) for b in range(1, most // a + 1)]
        kept = {grid: self._kept(height, width, grid, side) for grid in sorted(grids, key=lambda g: g[0] * g[1])}
        columns, rows = self.f.choose_grid(kept, 0.9)  # transformers exchanges the two, the authors don't
        canvas = self._tap("image.canvas", self._resize(levels, (rows * side, columns * side)))
        tiles = self.f.cut_tiles(canvas, self._resize(levels, (side, side)))
        mean, std = (np.array(self.image[f"image_{name}"], np.float32) for name in ("mean", "std"))
        values = np.stack([self.f.pixel_values(tile, self.image["rescale_factor"], mean, std) for tile in tiles])
        return self._tap("pixel_values", values), (rows, columns)

    def _kept(self, height: int, width: int, grid: tuple[int, int], side: int) -> float:
        regions = self.f.split_regions(height, width, *grid)
        areas = [self.f.covering_area(lower - upper, right - left, side) for left, upper, right, lower in regions]
        return float(sum(areas) / (height * width))

    def _resize(self, levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Both passes, in the order of Pillow 13."""
        (h, w), (new_h, new_w) = levels.shape[1:], size
        down, across = (
            self.f.fixed_point(self.f.resize_matrix(*pair, self.f.cubic, 2.0), 22) for pair in ((h, new_h), (w, new_w))
        )
        rows_first = h > new_h and h - new_h > 2 * (w - new_w)
        for by_rows in (rows_first, not rows_first):
            if by_rows:
                levels = np.stack([self.f.resize_pass(channel, down) for channel in levels])
            else:
                levels = np.stack([self.f.resize_pass(channel.T, across).T for channel in levels])
        return levels

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        """W x + b; most layers have no b."""
        return self._tap(f"{name}.output", x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", np.float32(0)))

    def _norm(self, x: np.ndarray, name: str, eps: float) -> np.ndarray:
        return self._tap(f"{name}.output", self.f.rms_norm(x, self.w[f"{name}.weight"], eps))

    def _feed_forward(self, x: np.ndarray, name: str) -> np.ndarray:
        return self.f.swiglu(x, *(self.w[f"{name}.{part}_proj.weight"] for part in ("gate", "up", "down")))

    def _visual_tokens(self, values: np.ndarray) -> np.ndarray:
        """Pixel values (n, 3, S, S) -> a distribution over the visual words for each token (n, T, words)."""
        config, tower = self.config["vision_config"], "model.vision_tower"
        eps, heads = config["rms_norm_eps"], config["num_attention_heads"]
        embedding = f"{VIT}.embeddings.patch_embedding"
        kernel = self.w[f"{embedding}.weight"]
        x = (
            self.f.patches(values, config["patch_size"]) @ kernel.reshape(len(kernel), -1).T
            + self.w[f"{embedding}.bias"]
        )
        x = self._norm(self._tap(f"{embedding}.output", x), f"{VIT}.embeddings.rms_norm", eps)
        x = self._tap(f"{VIT}.embeddings.output", x + self.w[f"{VIT}.embeddings.position_embedding.weight"])
        for i in range(config["num_hidden_layers"]):
            name = f"{VIT}.encoder.layers.{i}"
            normed = self._norm(x, f"{name}.rms_norm1", eps)
            q, k, v = (
                self.f.split_heads(self._linear(normed, f"{name}.attention.{part}_proj"), heads) for part in "qkv"
            )
            context = self.f.scaled_attention(q, k, v).swapaxes(1, 2).reshape(x.shape)
            x = x + self._linear(self._tap(f"{name}.attention.context", context), f"{name}.attention.out_proj")
            normed = self._norm(self._tap(f"{name}.after_attention", x), f"{name}.rms_norm2", eps)
            x = self._tap(f"{name}.output", x + self._feed_forward(normed, f"{name}.ffn"))
        merged = self.f.merge_patches(self._norm(x, f"{VIT}.rms_norm", eps), config["hidden_stride"])
        head = (self.w[f"{tower}.{name}"] for name in ("head_linear.weight", "head_norm.weight", "head_norm.bias"))
        return self._tap(f"{tower}.tokens", self.f.visual_tokens(self._tap(f"{tower}.merged", merged), *head))

    def _embeddings(self, tokens: np.ndarray) -> np.ndarray:
        """The prompt's ids and the visual tokens -> embeddings (1, t, H)."""
        table, ids = self.w["model.visual_embeddings_table.weight"], np.array([self._prompt])
        indicators = self.config["visual_indicator_token_ids"]
        visual = self._tap("model.visual_embeddings_table.output", self.f.expected_embedding(tokens, table))
        text = self.w[f"{QWEN}.embed_tokens.weight"][ids]
        atom = self.config["image_token_id"]
        return self.f.merge_embeddings(ids, text, visual, table[-len(indicators) :], atom, indicators)

    def _logits(self, ids: list[int]) -> np.ndarray:
        """Return the next token's logits after the prompt and what was made; only new tokens are computed."""
        if not self._length:
            x, self._stores = self._merged, []
        else:
            x = self.w[f"{QWEN}.embed_tokens.weight"][[ids[self._length :]]]
        keys, config = self._length + x.shape[1], self.config["text_config"]
        head_dim = config["hidden_size"] // config["num_attention_heads"]
        positions = np.arange(self._length, keys)[None]
        cos, sin = self.f.rotary_tables(positions, head_dim, config["rope_parameters"]["rope_theta"])
        self._tap(f"{QWEN}.rotary_emb.cos", cos)
        self._tap(f"{QWEN}.rotary_emb.sin", sin)
        mask = self.f.causal_mask(np.ones((1, keys), int), x.shape[1])[0]
        for i in range(config["num_hidden_layers"]):
            x = self._layer(x, i, cos, sin, mask)
        self._length = keys
        x = self._norm(x[:, -1:], f"{QWEN}.norm", config["rms_norm_eps"])
        return (x @ self.w[f"{QWEN}.embed_tokens.weight"].T)[0, 0]

    def _layer(self, x: np.ndarray, i: int, cos: np.ndarray, sin: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """One layer of Qwen2: (1, t, H) -> (1, t, H)."""
        config, name = self.config["text_config"], f"{QWEN}.layers.{i}"
        heads = {
            "q": config["num_attention_heads"],
            "k": config["num_key_value_heads"],
            "v": config["num_key_value_heads"],
        }
        normed = self._norm(x, f"{name}.input_layernorm", config["rms_norm_eps"])
        q, k, v = (
            self.f.split_heads(self._linear(normed, f"{name}.self_attn.{part}_proj"), n) for part, n in heads.items()
        )
        q = self._tap(f"{name}.self_attn.q_rotated", self.f.rotate(q, cos, sin))
        k = self._tap(f"{name}.self_attn.k_rotated", self.f.rotate(k, cos, sin))
        if len(self._stores) <= i:
            self._stores.append([np.zeros((1, part.shape[1], 1, part.shape[3]), np.float32) for part in (k, v)])
        (self._stores[i][0], k), (self._stores[i][1], v) = (
            self.f.update_cache(store, self._length, new) for store, new in zip(self._stores[i], (k, v), strict=True)
        )
        context = self._tap(f"{name}.self_attn.context", self.f.grouped_query_attention(q, k, v, mask))
        x = self._tap(f"{name}.after_attention", x + self._linear(context, f"{name}.self_attn.o_proj"))
        normed = self._norm(x, f"{name}.post_attention_layernorm", config["rms_norm_eps"])
        return self._tap(f"{name}.output", x + self._feed_forward(normed, f"{name}.mlp"))


def assemble(folder: Folder) -> int:
    """Answer the samples on the student's functions; print how many they are; 1 if an answer isn't the reference's."""
    own = {name: function for name in PARTS if (function := _own(folder, name))}
    answers = {name: folder.named(name).answer for name in PARTS}
    print(f"{'█' * len(own)}{'░' * (len(PARTS) - len(own))} {len(own)} of {len(PARTS)} parts are yours\n")
    for name in PARTS:
        print(f"{'✓' if name in own else ' '} {name:24} {'yours' if name in own else 'ours'}")
    model, reference, wrong = Assembled(answers | own), Assembled(answers), 0
    for picture in sorted(SAMPLE.parent.glob("*.png")):
        expected = reference.describe(picture)
        try:
            said = model.describe(picture)
        except Exception as error:
            said = f"(stopped: {type(error).__name__}: {str(error)[:200]})"
        print(f"\n{picture.name}: {said}")
        if said != expected:
            wrong += 1
            print(f"{'expected':>{len(picture.name)}}: {expected}")
        if picture == SAMPLE:
            _record(model, folder.path / "failures")
    if wrong:
        candidate = folder.path / "failures" / "assembled.safetensors"
        print("\nWhich part is wrong? `ovis2-ref exercise check` marks each. Or compare the values of your run:")
        print("    ovis2-ref golden record -o golden.safetensors")
        print(f"    ovis2-ref golden compare golden.safetensors {candidate}")
    return 1 if wrong else 0


def _own(folder: Folder, name: str) -> Callable[..., Any] | None:
    """Return the student's function; None if it isn't written. Raises `InputError` if its file can't be run."""
    exercise = folder.named(name)
    path = folder.file(exercise)
    if not path.is_file() or exercise.is_untouched(path.read_text(encoding="utf-8-sig", errors="replace")):
        return None
    try:
        function = load(path, name)
    except Exception as error:
        raise InputError(
            f"{path} can't be run ({type(error).__name__}: {error}); `ovis2-ref exercise check {name}`"
        ) from error
    if not callable(function):
        raise InputError(f"{path} has no function {name}; keep its name")
    return function  # type: ignore[no-any-return]


def _record(model: Assembled, folder: Path) -> None:
    """Write the values of the model's last run, as far as it came, as a candidate for `golden compare`."""
    folder.mkdir(parents=True, exist_ok=True)
    taps = {name: value.astype(np.float32) for name, value in model.taps.items() if value.dtype.kind == "f"}
    write_golden(folder / "assembled.safetensors", Golden(taps, {"version": VERSION, "dtype": "float32"}))
