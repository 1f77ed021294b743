"""Speed on a GPU, in one run with transformers: tiles encoded, tokens prefilled and tokens decoded in a second.

    python -m tests.benchmarks.bench_gpu [--models Ovis2-1B Ovis2-8B] [--dtypes bfloat16 float32] [--rounds 5]
    python -m tests.benchmarks.bench_gpu --tiny        # a dry run: a tiny model, on the CPU where there is no GPU

Random models of the released sizes; transformers holds the weights, and ours are the same memory. Ours, transformers with eager
attention and with sdpa take turns; a figure is the median of the rounds. The floor beside them is what the machine would need at
least: operations over the product rate, or bytes over the copy bandwidth, both measured here, whichever takes longer. Bytes
are the weights once for each batch, and for decoding the KV cache too. "step by step": decoding without a CUDA graph;
"attention in one kernel": `attn_implementation="sdpa"`.
"""

import argparse
import platform
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from statistics import median
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.config.presets import preset
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.ops import matmul
from ovis2_ref.runtime.arrays import DTYPES, device_module
from ovis2_ref.tools.costs import cache_bytes_per_token, operations, parameters
from tests.oracle import TORCH_DTYPES, reference_config, to_numpy

Run = Callable[[], Any]
PROGRAMS = ("ovis2_ref", "eager", "sdpa")
STEPWISE = "ovis2_ref, step by step"  # decoding with cache_implementation="dynamic"
IN_ONE = "ovis2_ref, attention in one kernel"  # attn_implementation="sdpa", in 16 bits


class Work(NamedTuple):
    """How much is done at a time."""

    tiles: int
    prompt: int
    new_tokens: int
    product: int
    """Side of the matrices whose product is timed."""
    copied: int
    """Bytes of the array whose copy is timed."""


FULL = Work(tiles=10, prompt=1024, new_tokens=128, product=8192, copied=2**30)
DRY = Work(tiles=2, prompt=16, new_tokens=4, product=128, copied=2**20)


class Machine(NamedTuple):
    """Where it runs, and what that can do."""

    xp: ModuleType
    device: str
    bandwidth: float
    """Bytes in a second, read and written both counted."""
    rates: dict[str, float]
    """Operations in a second of a product, by type."""


def synchronize(xp: ModuleType) -> None:
    """Wait until the device has done everything."""
    if xp is not np:
        xp.cuda.Device().synchronize()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(runs: dict[str, Run], rounds: int, xp: ModuleType) -> dict[str, float]:
    """Median seconds of each run; the first turn warms up and isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            synchronize(xp)
            start = time.perf_counter()
            run()
            synchronize(xp)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(taken) for name, taken in seconds.items()}


def measure(work: Work, dtypes: list[str], rounds: int) -> Machine:
    """Return the machine's copy bandwidth and product rates."""
    xp = device_module("auto" if work is DRY else "cuda")
    source = xp.ones(work.copied, dtype=np.uint8)
    bandwidth = 2 * work.copied / in_turns({"copy": source.copy}, rounds, xp)["copy"]
    rates = {}
    for dtype in dtypes:
        a = xp.asarray(np.random.default_rng(0).standard_normal((work.product, work.product)).astype(DTYPES[dtype]))
        rates[dtype] = 2 * work.product**3 / in_turns({"product": lambda a=a: matmul(a, a)}, rounds, xp)["product"]
    return Machine(xp, torch_device(), bandwidth, rates)


def torch_device() -> str:
    """Return where torch computes: on the GPU, or in a dry run without one on the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def tiny_config() -> Ovis2Config:
    """Return a model for the dry run."""
    return Ovis2Config(
        vision_config=Ovis2VisionConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=56,
            hidden_stride=2, vocab_size=69,
        ),
        text_config=Qwen2Config(
            vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2,
        ),
        image_token_id=90, visual_indicator_token_ids=[91, 92, 93, 94, 95], vocab_size=100, hidden_size=32,
        tie_word_embeddings=False,
    )  # fmt: skip


def both_models(config: Ovis2Config, dtype: str, machine: Machine) -> tuple[Ovis2ForConditionalGeneration, Any]:
    """Ours and transformers', of the same random weights, in the same memory on a GPU."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(TORCH_DTYPES[dtype])
    try:
        with torch.device(machine.device):
            theirs = transformers.Ovis2ForConditionalGeneration(reference_config(config)).eval()
    finally:
        torch.set_default_dtype(before)
    theirs.generation_config.eos_token_id = None
    theirs.generation_config.pad_token_id = 0

    def shared(tensor: torch.Tensor) -> Any:
        return machine.xp.from_dlpack(tensor.detach()) if tensor.is_cuda else machine.xp.asarray(to_numpy(tensor))

    weights = {name: shared(tensor) for name, tensor in theirs.state_dict().items()}
    return Ovis2ForConditionalGeneration(config, weights), theirs


def with_attention(model: Any, attention: str, run: Run) -> Run:
    """`run`, with the attention of `model` that is asked for."""

    def switched() -> None:
        model.set_attn_implementation(attention)
        with torch.no_grad():
            run()

    return switched


def stages(
    ours: Ovis2ForConditionalGeneration, theirs: Any, config: Ovis2Config, work: Work, machine: Machine, dtype: str
) -> dict[str, dict[str, Run]]:
    """Return what is timed, by stage and program. Inputs lie on the device before the clock starts."""
    vision = config.vision_config
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((work.tiles, vision.num_channels, vision.image_size, vision.image_size))
    ids = rng.integers(0, config.image_token_id, (8, work.prompt))
    pixels_there, ids_there = (machine.xp.asarray(x) for x in (pixels.astype(DTYPES[dtype]), ids))
    tensors = (torch.from_numpy(x).to(machine.device) for x in (pixels, ids))
    torch_pixels, torch_ids = (t.to(TORCH_DTYPES[dtype]) if t.is_floating_point() else t for t in tensors)

    def three(our_run: Run, their_run: Run) -> dict[str, Run]:
        programs = {"ovis2_ref": with_attention(ours, "eager", our_run)}
        return programs | {name: with_attention(theirs, name, their_run) for name in PROGRAMS[1:]}

    passes = {
        "encode": (
            lambda: ours.get_image_features(pixels_there),
            lambda: theirs.get_image_features(pixel_values=torch_pixels),
        ),
        "prefill": (
            lambda: ours(input_ids=ids_there[:1], logits_to_keep=1),
            lambda: theirs(input_ids=torch_ids[:1], logits_to_keep=1),
        ),
    }
    result = {name: three(*runs) | {IN_ONE: with_attention(ours, "sdpa", runs[0])} for name, runs in passes.items()}
    for batch in (1, 8):
        for new in (1, 1 + work.new_tokens):
            options = {"do_sample": False, "max_new_tokens": new}
            generate = partial(ours.generate, ids_there[:batch], **options, eos_token_id=None, pad_token_id=None)
            mask = torch.ones_like(torch_ids[:batch])
            programs = three(generate, partial(theirs.generate, torch_ids[:batch], attention_mask=mask, **options))
            programs[STEPWISE] = partial(generate, cache_implementation="dynamic")
            result[f"generate {new} of {batch}"] = programs
    return result


def floors(config: Ovis2Config, work: Work, machine: Machine, dtype: str) -> dict[str, float]:
    """Seconds that each job takes at least, whatever the program."""
    itemsize = DTYPES[dtype].itemsize
    counts = parameters(config)
    vision = sum(n for part, n in counts.items() if part.startswith("vis")) * itemsize
    head = counts["output head"] or counts["text embedding table"]
    text = (counts["language: blocks"] + head) * itemsize
    length = work.prompt + work.new_tokens // 2
    cache = cache_bytes_per_token(config.text_config, itemsize) * length
    cost = operations(config, work.tiles, work.prompt)
    one_more = operations(config, work.tiles, length)["one more token"]
    encode = cost["vision transformer"] + cost["visual tokens"] + cost["visual embeddings"]
    jobs = {"encode": (encode, vision), "prefill": (cost["prefill"], text)}
    jobs |= {f"decode, batch {batch}": (batch * one_more, text + batch * cache) for batch in (1, 8)}
    return {name: max(ops / machine.rates[dtype], size / machine.bandwidth) for name, (ops, size) in jobs.items()}


def bench(name: str, config: Ovis2Config, dtype: str, work: Work, rounds: int, machine: Machine) -> None:
    """Print the rows of one model in one type, each as soon as it is measured."""
    runs = stages(*both_models(config, dtype, machine), config, work, machine, dtype)
    measured = partial(in_turns, rounds=rounds, xp=machine.xp)
    floor = floors(config, work, machine, dtype)

    def report(stage: str, amount: int, unit: str, seconds: dict[str, float]) -> None:
        for ours in sorted(seconds.keys() - PROGRAMS[1:]):
            compared = [seconds[program] for program in (ours, *PROGRAMS[1:])]
            speeds = " | ".join(f"{amount / s:,.1f}" for s in compared)
            ratios = " | ".join(f"{s / compared[0]:.2f}" for s in compared[1:])
            print(
                f"| {name} | {dtype} | {stage}{ours.removeprefix(PROGRAMS[0])} | {unit}/s | {speeds} "
                f"| {amount / floor[stage]:,.1f} | {ratios} | {compared[0] / floor[stage]:.1f} |",
                flush=True,
            )

    for stage, amount, unit in (("encode", work.tiles, "tiles"), ("prefill", work.prompt, "tokens")):
        report(stage, amount, unit, measured(runs[stage]))
    for batch in (1, 8):
        one, all_ = (measured(runs[f"generate {new} of {batch}"]) for new in (1, 1 + work.new_tokens))
        report(f"decode, batch {batch}", batch, "tokens", {p: (all_[p] - one[p]) / work.new_tokens for p in all_})


def main(argv: list[str] | None = None) -> None:
    """Measure the machine, then each model in each type."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["Ovis2-1B", "Ovis2-8B"])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"], choices=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a dry run: a tiny model and little work")
    arguments = parser.parse_args(argv)
    work = DRY if arguments.tiny else FULL
    machine = measure(work, arguments.dtypes, arguments.rounds)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, NumPy {np.__version__}"
    if machine.device == "cuda":
        versions = f"{torch.cuda.get_device_name()}, CuPy {machine.xp.__version__}, {versions}"
    rates = ", ".join(f"{dtype} products {rate / 1e12:.3g} TFLOP/s" for dtype, rate in machine.rates.items())
    print(f"{date.today()}, {platform.python_implementation()} {platform.python_version()}, {versions}")
    print(f"copies {machine.bandwidth / 1e9:.4g} GB/s; {rates}; {work}\n")
    print("| model | type | stage | in | ours | eager | sdpa | floor | ours : eager | ours : sdpa | floor : ours |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in ["tiny"] if arguments.tiny else arguments.models:
        config = tiny_config() if arguments.tiny else Ovis2Config.from_dict(preset(name))
        for dtype in arguments.dtypes:
            bench(name, config, dtype, work, arguments.rounds, machine)
            if machine.device == "cuda":
                machine.xp.get_default_memory_pool().free_all_blocks()
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
