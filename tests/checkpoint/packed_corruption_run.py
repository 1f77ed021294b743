"""Corrupt GPTQ folders and adapters, load them, and judge: `python -m tests.checkpoint.packed_corruption_run FIRST_SEED COUNT`.

As in `corruption_run`, each corruption comes from its own seed. What loads, whole, streamed and kept packed, has to hold the
numbers that torch computes from the tensors that the `safetensors` library reads, by the settings that Python's `json` reads.
"""

import json
import random
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from ovis2_ref.checkpoint.loading import StreamedWeights, load_weights, read_config
from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.errors import OvisError
from tests.checkpoint.corruption import OUTSIDE, corrupt, restore
from tests.checkpoint.corruption_run import MEMORY, Watch
from tests.checkpoint.memory import forget_peak, peak_bytes
from tests.checkpoint.packing import FORMS, pack_folder
from tests.checkpoint.test_adapter import adapter, factors
from tests.checkpoint.test_gptq import wide_config
from tests.oracle import reference_model

ADAPTED = "model.language_model.layers.0.self_attn.q_proj"


def make_rooms(room: Path) -> list[str]:
    """Write sound folders: GPTQ of every form, some with an adapter, and a plain one with an adapter."""
    for i, form in enumerate(FORMS):
        folder = room / f"gptq{i}"
        reference_model(wide_config(), 0, "float16").save_pretrained(folder)
        pack_folder(folder, i, (4, 8, 2, 4)[i], (16, 32, -1, 16)[i], i % 2 == 0, form, left_out=("layers.1.mlp",))
    reference_model(wide_config(), 0).save_pretrained(room / "adapted")
    for name in ("gptq0", "adapted"):
        adapter(room / name, {"use_rslora": name == "adapted"}, factors())
    return sorted(path.name for path in room.iterdir())


def unpacked(part: Any, settings: dict[str, Any]) -> torch.Tensor:
    """Return a packed matrix by torch's operations; `part` gives its stored tensors."""
    qweight, qzeros, scales, g_idx = (part(name) for name in ("qweight", "qzeros", "scales", "g_idx"))
    bits = 32 * len(qweight) // len(g_idx)
    shifts, largest = torch.arange(0, 32, bits), 2**bits - 1
    stored = qzeros.long() % 2**32
    ones = (2**32 - 1) // largest
    middle = ones << bits - 1
    is_v2 = settings.get("checkpoint_format", settings.get("format")) == "gptq_v2"
    if settings.get("sym") is not False and bool((stored == middle - ones).all()):
        is_v2 = False
    elif settings.get("sym") is not False and bool((stored == middle).all()):
        is_v2 = True
    stored = stored if is_v2 else (stored + ones) % 2**32
    z = (stored[:, :, None] >> shifts & largest).reshape(len(qzeros), -1)
    q = (qweight.long()[:, None] % 2**32 >> shifts[None, :, None] & largest).reshape(-1, qweight.shape[1])
    groups = g_idx.long()
    return (scales.float()[groups] * (q - z[groups])).T


def judge(folder: Path, weights: dict[str, np.ndarray]) -> None:
    """Compare each weight with what torch computes from the files."""
    files = [safe_open(path, "pt") for path in folder.glob("*.safetensors") if not path.name.startswith("adapter")]
    stored = {key: file for file in files for key in file.keys()}  # noqa: SIM118  it is no dictionary
    config = json.loads((folder / "config.json").read_text())
    settings = config.get("quantization_config")
    settings = settings if isinstance(settings, dict) else {}
    for name, weight in weights.items():
        if name in stored:
            expected = stored[name].get_tensor(name).float()
        else:
            module = name.removesuffix(".weight")
            expected = unpacked(lambda part, m=module: stored[f"{m}.{part}"].get_tensor(f"{m}.{part}"), settings)
        if name == f"{ADAPTED}.weight" and (folder / "adapter_model.safetensors").exists():
            expected = expected + product(folder)
            np.testing.assert_allclose(weight, expected.numpy(), rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(weight, expected.numpy(), err_msg=name)


def product(folder: Path) -> torch.Tensor:
    """Return s B A of the adapter in `folder`."""
    values = json.loads((folder / "adapter_config.json").read_text())
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        keys = {key.split(".")[-2]: key for key in file.keys()}  # noqa: SIM118
        a, b = (file.get_tensor(keys[factor]).float() for factor in ("lora_A", "lora_B"))
    rank = len(a)
    return values.get("lora_alpha", 8) / (rank**0.5 if values.get("use_rslora") else rank) * (b @ a)


def load_everything(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights in `folder`, loaded, streamed, and kept packed: the same."""
    config = read_config(folder)
    weights = load_weights(folder, config)
    for keep in (False, True):
        streamed = StreamedWeights(folder, config, keep_packed=keep)
        assert all(np.array_equal(streamed[name], weights[name]) for name in weights)
    assert set(weights) == set(expected_shapes(config))
    return weights


def damage(folder: Path, chance: random.Random) -> str:
    """Corrupt a file, or, half of the time, one of its bytes at any place."""
    if chance.random() < 0.5:
        return corrupt(folder, chance)
    path = chance.choice(sorted(folder.iterdir()))
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return f"{path.name}: a bit of byte {place}"


def run(seeds: range, room: Path, work: Path, watch: Watch) -> dict[str, int]:
    """Corrupt, load, judge, once for each seed; how many were refused, how many loaded, and the most memory for one."""
    names, folder = make_rooms(room), work / "checkpoint"
    counts, largest = {"refused": 0, "loaded": 0}, 0
    (work / OUTSIDE).write_text("{}")
    for name in names:
        judge(room / name, load_everything(room / name))
    for seed in seeds:
        chance = random.Random(seed)
        restore(folder, room / chance.choice(names))
        what = damage(folder, chance)
        watch.opened.clear()
        forget_peak()
        before, watch.on = peak_bytes(), True
        try:
            weights = load_everything(folder)
            watch.on = False
            judge(folder, weights)
            counts["loaded"] += 1
        except OvisError as error:
            counts["refused"] += 1
            str(error).encode()
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {what}: {error!r:.500}") from error
        finally:
            watch.on = False
        largest = max(largest, peak_bytes() - before)
        strangers = [
            path for path in watch.opened if not path.startswith((str(folder), sys.prefix, sys.base_prefix, "/proc"))
        ]
        assert largest < MEMORY, f"seed {seed}, {what}: {largest} bytes"
        assert not strangers, f"seed {seed}, {what}: opened {strangers}"
        assert not watch.deeds, f"seed {seed}, {what}: {watch.deeds}"
        if (seed + 1) % 500 == 0:
            print(f"to seed {seed}: {counts}", file=sys.stderr, flush=True)
    return {**counts, "largest_growth_bytes": largest}


def main() -> None:
    """Corrupt COUNT folders from FIRST_SEED on; print, as JSON, how many were refused and loaded, and the most memory for one."""
    first, count = map(int, sys.argv[1:])
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as room, tempfile.TemporaryDirectory() as work:
        print(json.dumps(run(range(first, first + count), Path(room), Path(work), Watch())))


if __name__ == "__main__":
    main()
