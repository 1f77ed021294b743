"""The page of a golden file, and the port view of two: what differs, where, and why."""

import re
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.files.writing import replacing
from ovis2_ref.golden.compare import Comparison, compare
from ovis2_ref.golden.file import ROWS, Golden, read_golden
from ovis2_ref.golden.reference import load_reference
from ovis2_ref.golden.report import reason, verdict_line
from ovis2_ref.golden.stages import Reference
from ovis2_ref.page.html import html_page
from ovis2_ref.page.live import parameters
from ovis2_ref.page.recording import Keeper, check_run, page_data
from ovis2_ref.page.sizes import model_data


def write_golden_page(
    output: str | Path, golden_path: str, candidate_path: str | None, checkpoint: str | Path
) -> list[str]:
    """Write the page of the run in a golden file, with the verdicts on a candidate's values; return what it leaves out."""
    golden = read_golden(golden_path)
    reference = load_reference(golden, checkpoint)
    keeper = Keeper(reference.config.text_config.num_hidden_layers)
    for name in golden.names:
        if name + ROWS not in golden:
            keeper.take(name, golden.taps[name])
    check_run(keeper, reference)
    count = parameters(reference.config)
    about = model_data(checkpoint, count, f"recorded in {golden.metadata.get('dtype', 'an unknown type')}", "")
    left_out = ["The model itself: this is the page of a golden file."]
    data = page_data(keeper, reference, question_of(str(golden.metadata.get("prompt", ""))), about, left_out)
    if candidate_path is not None:
        candidate = read_golden(candidate_path)
        data["port"] = port_data(golden, compare(golden, candidate, reference), reference)
    with replacing(output, InputError) as file:
        file.write(html_page(data).encode())
    return left_out


def question_of(prompt: str) -> str:
    """Return the question in a prompt of one turn, without the pictures; another prompt as it is."""
    turn = re.search(r"<\|im_start\|>user\n(?:<image>\n)*(.*?)<\|im_end\|>", prompt, re.DOTALL)
    return turn[1] if turn else prompt


def port_data(golden: Golden, comparison: Comparison, reference: Reference) -> dict[str, Any]:
    """Return the verdicts, and for each visual token the largest difference of the pixel values that it is made of."""

    def number(value: float | None) -> float | None:
        return None if value is None else value if isfinite(value) else 1e300

    values = []
    for row in comparison.rows:
        why = reason(row, comparison.claimed) if row.verdict == "wrong" else row.note
        numbers = {"error": number(row.error), "band": number(row.band), "difference": number(row.difference)}
        values.append({"tap": row.tap, "verdict": row.verdict, "why": why, **numbers})
    pixels = next(
        (row.match.array for row in comparison.rows if row.tap == "pixel_values" and row.match.rows is None), None
    )
    return {
        "verdict": verdict_line(comparison),
        "passes": comparison.passes,
        "values": values,
        "pixels": [] if pixels is None else pixel_differences(golden, pixels, reference),
    }


def pixel_differences(golden: Golden, pixels: np.ndarray, reference: Reference) -> list[float]:
    """Return the largest difference of the pixel values in the cell of each visual token; nothing where shapes differ."""
    if "pixel_values" not in golden.names or golden.taps["pixel_values"].shape != pixels.shape:
        return []
    difference = np.abs(golden.taps["pixel_values"].astype(np.float64) - pixels.astype(np.float64))
    difference = np.nan_to_num(difference, nan=1e300, posinf=1e300)
    tiles, channels, side, _ = difference.shape
    vision = reference.config.vision_config
    cell = vision.patch_size * vision.hidden_stride
    count = side // cell
    squares = difference[:, :, : count * cell, : count * cell].reshape(tiles, channels, count, cell, count, cell)
    return squares.max(axis=(1, 3, 5)).reshape(-1).tolist()
