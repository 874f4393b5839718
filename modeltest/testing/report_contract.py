"""What every report must honour, as a class of tests for pytest.

class TestMine(ReportContract):
    @pytest.fixture
    def written(self):
        return Written(MyReport(), result)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from modeltest.api import OnRequest, PrerequisiteError, Report, RunResult


@dataclass(frozen=True, slots=True)
class Written:
    """A report and a result that it accepts."""

    report: Report
    result: RunResult


class ReportContract:
    """The contract of `modeltest.api.Report`: derive a test class that has the fixture `written`."""

    def test_it_is_a_report(self, written: Written) -> None:
        """It has a name and the methods of one, and accepts the result."""
        assert isinstance(written.report, Report)
        assert written.report.name
        assert written.report.accepts(written.result)
        if isinstance(written.report, OnRequest):
            assert written.report.refusal(written.result) is None

    def test_it_writes_what_it_says_and_nothing_else(self, written: Written, tmp_path: Path) -> None:
        """The paths it returns are the files it made, all below the directory, none left half written."""
        paths = written.report.write(written.result, tmp_path)
        made = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert paths
        assert all(path.exists() and path.is_relative_to(tmp_path) for path in paths)
        assert made <= {path for path in paths if path.is_file()} | {
            file for path in paths if path.is_dir() for file in path.rglob("*")
        }

    def test_it_writes_the_same_again(self, written: Written, tmp_path: Path) -> None:
        """Equal results give equal bytes, also over the files of before."""
        before = {path: path.read_bytes() for path in written.report.write(written.result, tmp_path)}
        after = {path: path.read_bytes() for path in written.report.write(written.result, tmp_path)}
        assert after == before

    def test_a_place_that_cannot_be_written_is_told(self, written: Written, tmp_path: Path) -> None:
        """A directory that is none is a PrerequisiteError, which names it."""
        place = tmp_path / "file"
        place.write_text("not a directory")
        with pytest.raises(PrerequisiteError, match="file"):
            written.report.write(written.result, place)
