"""Pack weights as AutoGPTQ and GPTQModel publish it: each number is put into its word by a loop, in Python's whole numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

MATRICES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
MATRICES += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
FORMS = ("gptq", "gptq_v2", "v2 called gptq", "v1 called gptq_v2")
"""What `checkpoint_format` says, and what the file holds."""


def words(numbers: list[int], bits: int, less_one: bool) -> list[int]:
    """Pack `numbers` into words of 32 bits, the first in the lowest bits; with `less_one` a 1 is taken from each, in the word."""
    per_word, packed = 32 // bits, []
    for start in range(0, len(numbers), per_word):
        word = sum(number << bits * place for place, number in enumerate(numbers[start : start + per_word]))
        ones = sum(1 << bits * place for place in range(per_word))
        word = (word - ones * less_one) % 2**32
        packed.append(word - 2**32 * (word >= 2**31))
    return packed


class Packed:
    """A matrix (out, in) that was drawn as GPTQ has it: its tensors, and its numbers by the published formula, one at a time."""

    def __init__(
        self, chance: Any, out: int, inputs: int, bits: int, group: int, act_order: bool, form: str, sym: bool
    ):
        """Draw from the generator `chance`; `group` -1 is one group for all inputs."""
        group = inputs if group == -1 else group
        groups, largest = -(-inputs // group), 2**bits - 1
        q = chance.integers(0, largest, (inputs, out), endpoint=True)
        z = (
            np.full((groups, out), 2 ** (bits - 1))
            if sym
            else chance.integers(0, largest, (groups, out), endpoint=True)
        )
        scales = (chance.random((groups, out)) * 2 / 2**bits / inputs**0.5 + 1e-4).astype(np.float16)
        g_idx = np.arange(inputs) // group
        if act_order:
            chance.shuffle(g_idx)
        less_one = form in ("gptq", "v1 called gptq_v2")
        self.tensors = {
            "qweight": np.array([words(list(column), bits, False) for column in q.T.tolist()], np.int32).T.copy(),
            "qzeros": np.array([words(row, bits, less_one) for row in z.tolist()], np.int32),
            "scales": scales,
            "g_idx": g_idx.astype(np.int32),
        }
        self.weight = np.array(
            [
                [np.float32(scales[g_idx[i], o]) * np.float32(q[i, o] - z[g_idx[i], o]) for i in range(inputs)]
                for o in range(out)
            ],
            np.float32,
        )


def pack_folder(
    folder: Path, seed: int, bits=4, group=32, act_order=False, form="gptq", sym=True, left_out=()
) -> dict[str, Any]:
    """Replace the language model's matrices in `folder` (of either layout, one file) by drawn packed ones; return their numbers.

    `left_out`: layers that stay plain, as `dynamic` leaves them. The numbers are float32, by transformers' names.
    """
    chance, path = np.random.default_rng(seed), folder / "model.safetensors"
    tensors, weights = load_file(path), {}
    for name in list(tensors):
        module = name.removesuffix(".weight")
        if not module.endswith(MATRICES) or "layers." not in name or any(part in name for part in left_out):
            continue
        packed = Packed(chance, *tensors.pop(name).shape, bits, group, act_order, form, sym)
        tensors |= {f"{module}.{part}": np.ascontiguousarray(array) for part, array in packed.tensors.items()}
        weights["model.language_model." + name[name.index("layers.") :]] = packed.weight
    assert weights
    save_file(tensors, path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "bits": bits, "group_size": group, "desc_act": act_order, "sym": sym, "quant_method": "gptq",
        "checkpoint_format": {"v2 called gptq": "gptq", "v1 called gptq_v2": "gptq_v2"}.get(form, form),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return weights
