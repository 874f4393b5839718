"""`python -m modeltest` and the command `modeltest`: the command line, without the current directory."""

import os
import sys
from contextlib import suppress

from modeltest.start import leave_out_current_directory

_INTERRUPTED = 130


def main() -> int:
    """Run the command line and return the exit status."""
    leave_out_current_directory()
    try:
        from modeltest.cli import main as command_line

        return command_line()
    except KeyboardInterrupt:  # while the command line is imported, or when it has given the signals back
        with suppress(OSError):  # standard error may be closed
            os.write(2, b"interrupted\n")
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
