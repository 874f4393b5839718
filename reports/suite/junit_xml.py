"""`junit.xml` of a suite: the test suites of all its runs in one file, those that never began included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from modeltest.api import RunResult, SuiteResult, SuiteRun, SuiteStatus
from modeltest.machine.files import write_text
from modeltest.present import Check
from reports.ci.junit_xml import RUN_CASE, class_name_of, junit_document, suite_element, suite_of


class SuiteJUnitXml:
    """Writes `junit.xml` of a suite."""

    name = "junit"

    def write(self, suite: SuiteResult, results: Mapping[str, RunResult], directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "junit.xml"
        found = [_suite_of_run(run, suite, results.get(run.name)) for run in suite.runs]
        write_text(path, junit_document(found))
        return (path,)


def _suite_of_run(run: SuiteRun, suite: SuiteResult, result: RunResult | None) -> ET.Element:
    """Return the test suite of a run; one that has no verdict is an error."""
    if result is not None and result.verdict is not None:
        return suite_of(result)
    error = f"{run.status.value}: {run.error or 'the suite ended before it'}"
    parts = (run.spec.mode, run.model, run.spec.engine)
    return suite_element(
        " ".join(parts),
        [Check(RUN_CASE, error=None if run.status is SuiteStatus.COMPLETE else error)],
        class_name=class_name_of(*parts),
        timestamp=result.started if result else suite.started,
        seconds=0.0,
        properties={"command": " ".join(run.command)},
    )
