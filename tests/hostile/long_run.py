"""Thousands of hostile inputs, each in a separate process: `python -m tests.hostile.long_run KIND FIRST_SEED COUNT`.

KIND is golden, pictures, checkpoints, tokenizers or calls. Every case comes from its own seed, and has to end right or with our
error, within the stated bounds of time and memory, without starting a program or opening a file outside its folder. The worst
time and the worst memory are printed, as JSON, and every case that broke a rule, with its seed.
"""

import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2ImageProcessor, Ovis2Processor
from ovis2_ref.image.limits import MEMORY, SECONDS
from ovis2_ref.image.loading import load_image, load_video
from ovis2_ref.text.tokenizer import Tokenizer
from tests.checkpoint.corruption import OUTSIDE, corrupt
from tests.hostile import picture_files as files
from tests.hostile.bounded import Outcome, bounded
from tests.hostile.folders import AUTHORS, copied

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "ICO", "JPEG2000", "TGA")
NUMBERS = (0, 1, 2, 127, 255, 256, 9000, 2**14 - 1, 2**15, 2**16 - 1, 2**20, 2**24 - 1, 2**31 - 1, 2**32 - 1)
Case = Callable[[], Any]


def originals() -> list[bytes]:
    """Sound files of every format, still and animated, and the costly ones."""
    levels = np.random.default_rng(0).integers(0, 255, (40, 60, 4), np.uint8)
    rgba, rgb = Image.fromarray(levels), Image.fromarray(levels[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    found = [files.encoded(rgb, kind) for kind in KINDS]
    found += [files.encoded(rgba, kind) for kind in ("PNG", "WEBP", "TIFF", "AVIF")]
    found += [files.encoded(rgb, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")]
    found += [files.encoded(rgb, "JPEG", progressive=True), files.encoded(rgb.quantize(16), "PNG", transparency=3)]
    found += [
        files.encoded(rgb, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    ]
    frames = [Image.fromarray(np.roll(levels[..., :3], i)) for i in range(5)]
    found += [
        files.encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        for kind in ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
    ]
    found += [
        files.growing_gif(3000, 3, 2),
        files.tiff(50, data=bytes(64)),
        files.jpeg_of_scans(64, 50),
        files.POSTSCRIPT,
    ]
    found += [files.tiff_of_one_tile(64), files.hidden_gif(400), files.webp_header(500, 500)]
    return [*found, b"P3\n9 9\n255\n" + b"7 " * 243]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with up to four places changed: numbers of headers, bits, slices gone, doubled or cut off."""
    content = bytearray(data)
    for _ in range(chance.randrange(5)):
        place = chance.randrange(min(len(content), chance.choice([64, 400, 10**6])) or 1)
        kind = chance.randrange(6)
        if kind <= 1:
            size = chance.choice([1, 2, 4])
            number = (chance.choice(NUMBERS) % 256**size).to_bytes(size, chance.choice(["little", "big"]))
            content[place : place + size] = number
        elif kind == 2 and content:
            content[place % len(content)] ^= 1 << chance.randrange(8)
        elif kind == 3:
            del content[place : place + chance.choice([1, 4, 100])]
        elif kind == 4:
            content[place:place] = content[place : place + chance.choice([4, 100])]
        else:
            del content[place:]
    return bytes(content)


def picture_case(seed: int, folder: Path, pristine: list[bytes]) -> Case:
    """Load a damaged picture or clip, and cut it."""
    chance = random.Random(seed)
    data = damaged(chance.choice(pristine), chance)
    source: Any = data
    if chance.random() < 0.5:
        source = folder / "picture.png"
        source.write_bytes(data)
    load = chance.choice([load_image, load_image, load_video])

    def case() -> None:
        shown = load(source)
        Ovis2ImageProcessor(size=8, crop_to_patches=True)(shown)

    return case


def checkpoint_case(seed: int, folder: Path, pristine: Any) -> Case:
    """Damage a file of a checkpoint, load all of it, answer with two tokens, and save it."""
    chance = random.Random(seed)
    convention = chance.choice(["transformers", "transformers", "original"])
    source = copied(chance.choice([TINY, TINY, AUTHORS]), folder / "model")
    corrupt(source, chance)
    stream = chance.random() < 0.5

    def case() -> None:
        processor = Ovis2Processor.from_pretrained(source, convention)
        model = Ovis2ForConditionalGeneration.from_pretrained(source, convention=convention, stream=stream)
        inputs = processor(images=np.zeros((9, 12, 3), np.uint8), text="<image>a")
        model.generate(**inputs, max_new_tokens=2)
        if convention == "transformers":
            processor.save_pretrained(folder / "saved")
            model.save_pretrained(folder / "saved")

    return case


def tokenizer_case(seed: int, folder: Path, pristine: Any) -> Case:
    """Damage a tokenizer's file, load it, use it, save it."""
    chance = random.Random(seed)
    source = folder / "tokenizer"
    source.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(chance.choice([AUTHORS, TINY]) / name, source / name)
    corrupt(source, chance)
    text = chance.choice(["Describe the image. <|im_end|>", "a \n b", "\u0301\U0001f98a\n\n  <IMG_ATOM>", "x" * 5000])

    def case() -> None:
        tokenizer = Tokenizer.from_pretrained(source)
        tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True)
        tokenizer.save_pretrained(folder / "saved")
        Tokenizer.from_pretrained(folder / "saved").encode(text)

    return case


def call_case(seed: int, folder: Path, pristine: Any) -> Case:
    """Make a wrong call from Python."""
    from tests.hostile.wrong_calls import wrong_call

    return wrong_call(seed)


def golden_file_case(seed: int, folder: Path, pristine: Any) -> Case:
    """Compare a golden file with something wrong in it."""
    from tests.hostile.golden_files import golden_case

    return golden_case(seed, folder, pristine)


CASES = {
    "golden": golden_file_case,
    "pictures": picture_case,
    "checkpoints": checkpoint_case,
    "tokenizers": tokenizer_case,
    "calls": call_case,
}


def run(kind: str, seeds: range) -> dict[str, Any]:
    """Run the cases of these seeds: how they ended, the worst of them, and those that broke a rule."""
    counts: Counter[str] = Counter()
    broken: list[str] = []
    slowest, largest = (0.0, -1), (0, -1)
    pristine = originals() if kind == "pictures" else []
    if kind == "calls":
        import tests.hostile.wrong_calls  # noqa: F401  before the forks
    if kind == "golden":
        import tests.hostile.golden_files as golden_files

        golden_files.reference()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "inside"
            folder.mkdir()
            (Path(name) / OUTSIDE).write_text("{}")
            watched = () if kind == "calls" else (folder,)  # a call may name any file
            outcome: Outcome = bounded(CASES[kind](seed, folder, pristine), SECONDS, watched)
        counts[outcome.kind] += 1
        slowest, largest = max(slowest, (outcome.seconds, seed)), max(largest, (outcome.peak, seed))
        if outcome.kind not in ("right", "refused") or outcome.peak > MEMORY + 2**28:
            broken.append(f"seed {seed}: {outcome.kind}, {outcome.peak} bytes, {outcome.message:.300}")
        if (seed + 1) % 500 == 0:
            print(
                f"{kind} to seed {seed}: {dict(counts)}, slowest {slowest}, largest {largest}, {broken}",
                file=sys.stderr,
                flush=True,
            )
    return {
        "kind": kind,
        "seeds": [seeds.start, seeds.stop],
        **counts,
        "slowest": {"seconds": round(slowest[0], 3), "seed": slowest[1]},
        "largest": {"bytes": largest[0], "seed": largest[1]},
        "broken": broken,
    }


def main() -> None:
    """Run the cases that the command line asks for."""
    kind, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    result = run(kind, range(first, first + count))
    print(json.dumps(result, indent=1))
    sys.exit(1 if result["broken"] else 0)


if __name__ == "__main__":
    main()
