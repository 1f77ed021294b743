"""Train the tiny Ovis2, start to end: `python -m ovis2_ref.tiny.training`.

Vision and language stage run side by side, a process each; then two processes share the stage of the pictures, which writes
`WORK/checkpoint` and `WORK/log.csv`. Every stage saves its state about once a minute: started again, the command continues
from there, and ends as if it had not been stopped. With the same versions on the same machine two runs give the same bytes.
"""

import argparse
from pathlib import Path

from ovis2_ref.tiny.training.stages import run_side_by_side


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m ovis2_ref.tiny.training",
        description="Train the tiny Ovis2. Started again, it continues where it was stopped.",
    )
    parser.add_argument("--work", type=Path, default=Path("tiny-training"), help="folder for states, logs, checkpoint")
    parser.add_argument("--fraction", type=float, default=1.0, help="part of the steps, for a try (default: 1)")
    given = parser.parse_args()
    if not 0 < given.fraction <= 1:
        parser.error(f"--fraction {given.fraction} is not above 0 and at most 1")
    given.work.mkdir(parents=True, exist_ok=True)
    run_side_by_side(("vision", "language"), given.work, given.fraction)
    run_side_by_side(("pictures",), given.work, given.fraction)
    print(f"checkpoint: {given.work / 'checkpoint'}")


if __name__ == "__main__":
    main()
