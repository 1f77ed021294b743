"""Golden values: record every value of a run, and find which of another program's values are wrong, and why. See README.md."""

from ovis2_ref.golden.compare import Comparison, compare
from ovis2_ref.golden.file import Golden, GoldenWriter, read_golden, write_golden
from ovis2_ref.golden.hooks import record_transformers
from ovis2_ref.golden.record import record

__all__ = [
    "Comparison",
    "Golden",
    "GoldenWriter",
    "compare",
    "read_golden",
    "record",
    "record_transformers",
    "write_golden",
]
