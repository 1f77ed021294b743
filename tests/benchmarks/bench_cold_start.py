"""Cold start: a whole process that imports, loads the tiny checkpoint, looks at the sample and answers; ours and transformers'.

    python tests/benchmarks/bench_cold_start.py [--runs 5]

prints wall time and peak memory (maximum resident set) of both, the best of the runs taken in turns, and the ratios.
"""

import argparse
import os
import subprocess
import sys
import time

from ovis2_ref import TINY
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tools.cli import PROMPT

TOKENS = 20

TRANSFORMERS = f"""
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
ids = model.generate(**inputs, max_new_tokens={TOKENS}, do_sample=False)
print(processor.batch_decode(ids[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0])
"""


def measure(command: list[str]) -> tuple[float, float, str]:
    """Seconds of wall time, MiB of peak resident memory, and what the command printed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} failed with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, printed.strip()


def main() -> None:
    """Run both in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    commands = {
        "ovis2_ref": [sys.executable, "-m", "ovis2_ref", "describe", "--max-new-tokens", str(TOKENS)],
        "transformers": [sys.executable, "-c", TRANSFORMERS],
    }
    results = {name: [measure(command) for _ in range(runs)] for name, command in commands.items()}
    best = {name: (min(r[0] for r in rows), min(r[1] for r in rows), rows[0][2]) for name, rows in results.items()}
    for name, (seconds, memory, answer) in best.items():
        print(f"{name:12}  {seconds:6.2f} s  {memory:6.0f} MiB  {answer!r}")
    ours, theirs = best["ovis2_ref"], best["transformers"]
    print(
        f"ratio         {ours[0] / theirs[0]:6.3f}    {ours[1] / theirs[1]:6.3f}      same answer: {ours[2] == theirs[2]}"
    )


if __name__ == "__main__":
    main()
