"""Measurements that need a separate process: cold start, and peak memory (Linux).

python -m tests.benchmarks.processes ours 1b answer       # one measurement, as JSON: what the benchmark runs
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ovis2_ref import TINY, Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.cli import PROMPT
from tests.benchmarks.inputs import answer_inputs, image_processor, scene
from tests.benchmarks.shapes import OURS, SDPA, SHAPES, their_model

COLD_TOKENS, MEMORY_TOKENS = 20, 4
"""New tokens of the answer after a cold start, and of the one whose memory is measured."""

MEMORY_JOBS = ("answer", "picture 4000x3000", "cold start")

COLD_OURS = f"""
from ovis2_ref.tools.cli import main
main(["describe", "--max-new-tokens", "{COLD_TOKENS}"])
"""

COLD_TRANSFORMERS = f"""
from PIL import Image
from transformers import AutoTokenizer, Ovis2ForConditionalGeneration, Ovis2Processor
try:
    from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil as ImageProcessor
except ImportError:
    from transformers import Ovis2ImageProcessor as ImageProcessor
folder = {str(TINY)!r}
model = Ovis2ForConditionalGeneration.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
processor = Ovis2Processor(
    ImageProcessor.from_pretrained(folder), tokenizer, image_seq_length=16
)
text = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "<image>\\n{PROMPT}"}}], tokenize=False, add_generation_prompt=True
)
inputs = processor(images=Image.open({str(SAMPLE)!r}), text=text, return_tensors="pt")
ids = model.generate(**inputs, max_new_tokens={COLD_TOKENS}, do_sample=False)
print(processor.batch_decode(ids[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0])
"""


PRINT_PEAK = """
from pathlib import Path
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def cold_start(program: str) -> str:
    """Return the answer of a whole process that imports, loads the tiny checkpoint, looks at the sample picture and answers."""
    return _printed(["-c", COLD_OURS if program == OURS else COLD_TRANSFORMERS])


class Memory(NamedTuple):
    """The peak of a process's resident memory in MiB: in all, and above what program, model and a first small job take."""

    whole: float
    above: float | None


def peak_memory(program: str, shape: str, job: str) -> Memory:
    """Return the peak memory of ours or of transformers (sdpa) in a new process that does the job, one of `MEMORY_JOBS`."""
    if job == "cold start":
        script = COLD_OURS if program == OURS else COLD_TRANSFORMERS
        return Memory(int(_printed(["-c", script + PRINT_PEAK]).split()[-1]) / 1024, None)
    return Memory(*json.loads(_printed(["-m", "tests.benchmarks.processes", program, shape, job])))


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process that keeps one core busy, inside the block."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _printed(arguments: list[str]) -> str:
    # The package's modules are compiled once, as transformers' were when pip installed them, whatever the caller's setting.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{arguments[:5]} failed with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def measured(program: str, shape: str, job: str) -> Memory:
    """Return the peak memory of this process while it does the job; a smaller one of the same kind warms up."""
    warm_up, work = (picture_work if job.startswith("picture") else answer_work)(program, shape, job)
    warm_up()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    work()
    peak = _resident("VmHWM")
    return Memory(peak, peak - before)


def picture_work(program: str, shape: str, job: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return jobs that cut a small picture into tiles, and one of the size that `job` names."""
    cut = image_processor(program, SHAPES[shape]().vision_config.image_size)
    return partial(cut, scene("60x40")), partial(cut, scene(job.split()[1]))


def answer_work(program: str, shape: str, job: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return jobs that make a few tokens after a short text, and after a picture and a question."""
    config = SHAPES[shape]()
    ids, pixels = answer_inputs(config)
    options: dict[str, Any] = {"max_new_tokens": MEMORY_TOKENS, "do_sample": False}
    weights = random_weights(config, seed=0)
    if program == OURS:
        model = Ovis2ForConditionalGeneration(config, weights)
        generate = partial(model.generate, eos_token_id=None, pad_token_id=None, **options)
        return partial(generate, ids[:, -8:]), partial(generate, ids, pixel_values=pixels)
    import torch

    generate = partial(their_model(config, weights, SDPA).generate, **options)
    torch_ids = torch.from_numpy(ids)
    return (
        partial(generate, torch_ids[:, -8:], attention_mask=torch.ones_like(torch_ids[:, -8:])),
        partial(generate, torch_ids, attention_mask=torch.ones_like(torch_ids), pixel_values=torch.from_numpy(pixels)),
    )


def _resident(field: str) -> float:
    """Return a field of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))
