"""`python -m modeltest` and the command `modeltest`: the command line, without the current directory."""

import os
import sys

from modeltest.start import leave_out_current_directory

_SIGNALLED = 128
_SIGINT = 2


def main() -> int:
    """Run the command line and return the exit status."""
    leave_out_current_directory()  # until here nothing is imported that Python has not loaded
    try:
        from modeltest.cli import main as command_line

        return command_line()
    except KeyboardInterrupt as interrupt:  # while the command line is imported, or at its very end
        from contextlib import suppress

        with suppress(OSError):  # standard error may be closed
            os.write(2, b"interrupted\n")
        return _SIGNALLED + getattr(interrupt, "number", _SIGINT)


if __name__ == "__main__":
    sys.exit(main())
