"""`python -m modeltest` and the command `modeltest`: the command line, without the current directory."""

import sys

from modeltest.start import leave_out_current_directory


def main() -> int:
    """Run the command line and return the exit status."""
    leave_out_current_directory()
    from modeltest.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
