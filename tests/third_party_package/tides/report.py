"""`tides.txt`: the accuracy of a run in one line."""

from modeltest.api import AccuracySummary
from modeltest.machine.files import write_text


class TidesReport:
    """Writes `tides.txt`."""

    name = "tides"

    def accepts(self, result):
        """Say whether the run measured accuracy."""
        return isinstance(result.summary, AccuracySummary)

    def write(self, result, directory):
        """Write the file and return its path."""
        path = directory / "tides.txt"
        found = result.summary.micro
        write_text(path, f"{result.spec.task}: {found.correct} of {found.total}\n")
        return (path,)
