"""`python -m ovis2_ref` is the command `ovis2-ref`."""

import sys

from ovis2_ref.tools.cli import main

sys.exit(main())
