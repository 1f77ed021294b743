"""The command `ovis2-ref`, and `python -m ovis2_ref`."""

import os
import signal
import sys


def main() -> int:
    """Run the command and return its exit status; Ctrl-C during the imports ends it with 130, as later."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as in the background of a shell
        from ovis2_ref.tools.cli import main as run

        return run()
    signal.signal(signal.SIGINT, _leave)  # an exception would leave half-imported libraries, or be swallowed by one
    from ovis2_ref.tools.cli import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _leave(*_: object) -> None:
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
