"""A tiny trained Ovis2, the scenes that it was trained on, and its training."""

from pathlib import Path

TINY = Path(__file__).parent / "checkpoint"
"""Folder of the trained checkpoint, in the files that transformers' `save_pretrained` writes."""

SAMPLE = Path(__file__).parent / "samples" / "three_shapes.png"
"""A picture to try it on."""
