"""`junit.xml`: a run as test cases, which Jenkins, GitLab and most other CI systems show.

One case per subject, per shape and batch size, per search, per output, per prompt or per task of a harness. A
verdict INVALID is a failure, questions that failed are an error, wrong answers are neither: they are
results. The case `run` fails when the run is INVALID for a reason that no other case shows, and is an error
when the run ended with one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from modeltest.api import RunResult, RunStatus, Verdict
from modeltest.machine.files import write_text
from modeltest.present import Check, presentation_of

RUN_CASE = "run"

_TYPES = {"failure": "INVALID", "error": "failed", "skipped": "INCONCLUSIVE"}
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, not even as a reference."""


class JUnitXml:
    """Writes `junit.xml`."""

    name = "junit"

    def accepts(self, result: RunResult) -> bool:
        """Say that every run is a test."""
        return True

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "junit.xml"
        write_text(path, junit_document([suite_of(result)]))
        return (path,)


def junit_document(suites: Sequence[ET.Element]) -> str:
    """Return the file that holds `suites`."""
    root = ET.Element("testsuites", {"name": "modeltest", **_totals(suites)})
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def suite_of(result: RunResult) -> ET.Element:
    """Return the element `testsuite` of one run."""
    spec = result.spec
    name = " ".join((spec.mode, result.model.label, spec.engine))
    class_name = class_name_of(spec.mode, result.model.label, spec.engine)
    return suite_element(
        name,
        checks(result),
        class_name=class_name,
        timestamp=result.started,
        seconds=sum(result.timing_s.values()),
        properties=_properties(result),
    )


def class_name_of(*parts: str) -> str:
    """Return the class name of a run's cases: Jenkins takes what stands before its last dot for a package."""
    return ".".join(_plain(part.replace(".", "_")) for part in parts)


def suite_element(
    name: str,
    cases: Sequence[Check],
    *,
    class_name: str,
    timestamp: str,
    seconds: float,
    properties: Mapping[str, str],
) -> ET.Element:
    """Return the element `testsuite` of `cases`; `timestamp` is ISO 8601."""
    suite = ET.Element(
        "testsuite",
        {
            "name": _plain(name),
            "tests": str(len(cases)),
            "failures": str(sum(case.failure is not None for case in cases)),
            "errors": str(sum(case.error is not None for case in cases)),
            "skipped": str(sum(case.skipped is not None for case in cases)),
            "time": f"{seconds:.3f}",
            "timestamp": timestamp.partition("+")[0],
        },
    )
    listed = ET.SubElement(suite, "properties")
    for key, value in properties.items():
        ET.SubElement(listed, "property", {"name": _plain(key), "value": _plain(value)})
    for case in cases:
        suite.append(_case_element(case, class_name))
    return suite


def checks(result: RunResult) -> list[Check]:
    """Return the cases of a run, the run itself first."""
    summary = result.summary
    cases = list(presentation_of(summary).checks(summary, result)) if summary else []
    is_shown = any(case.failure is not None or case.error is not None for case in cases)
    reasons = "\n".join((*result.reasons, *result.warnings))
    failure = error = None
    if result.verdict is None or result.status == RunStatus.FAILED:
        error = f"{result.status}: {result.error or 'the run has no verdict'}"
    elif result.verdict is Verdict.INVALID and (result.status != RunStatus.COMPLETE or not is_shown):
        failure = reasons or "the run is INVALID"
    verdict = result.verdict.value if result.verdict else result.status
    return [Check(RUN_CASE, f"verdict: {verdict}\n{reasons}".strip(), failure, error), *cases]


def _case_element(case: Check, class_name: str) -> ET.Element:
    element = ET.Element("testcase", {"name": _plain(case.name), "classname": class_name})
    for kind, text in (("failure", case.failure), ("error", case.error), ("skipped", case.skipped)):
        if text is not None:
            first_line = text.partition("\n")[0]
            found = ET.SubElement(element, kind, {"message": _plain(first_line), "type": _TYPES[kind]})
            found.text = _plain(text)
    if case.output:
        ET.SubElement(element, "system-out").text = _plain(case.output)
    return element


def _totals(suites: Sequence[ET.Element]) -> dict[str, str]:
    totals = {
        count: str(sum(int(suite.get(count, "0")) for suite in suites))
        for count in ("tests", "failures", "errors")
    }
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    return {**totals, "time": f"{seconds:.3f}"}


def _properties(result: RunResult) -> dict[str, str]:
    engine = result.engine
    facts = {
        "task": result.spec.mode,
        "model": result.model.label,
        "fingerprint": result.model.fingerprint,
        "engine word": result.spec.engine,
        "engine": result.adapter,
        "device": engine.device if engine else None,
        "dtype": engine.dtype if engine else None,
        "verdict": result.verdict.value if result.verdict else None,
        "command": result.command,
        "modeltest version": result.modeltest_version,
    }
    return {name: value for name, value in facts.items() if value}


def _plain(text: str) -> str:
    """Return `text` with what XML cannot hold written out: the bell is `\\x07`."""
    return _ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
