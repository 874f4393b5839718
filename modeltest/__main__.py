"""`python -m modeltest`: the same as the command `modeltest`."""

import sys

from modeltest.cli import main

sys.exit(main())
