"""`junit.xml`: a run as test cases, which Jenkins, GitLab and most other CI systems show.

One case per subject, per shape and batch size, per search, per output, per prompt or per task of a harness. A
verdict INVALID is a failure, questions that failed are an error, wrong answers are neither: they are
results. The case `run` fails when the run is INVALID for a reason that no other case shows, and is an error
when the run ended with one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from modeltest.api import (
    AccuracySummary,
    CaseSummary,
    GenerationSummary,
    HarnessSummary,
    MaxBatchCase,
    MaxBatchSummary,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    Proportion,
    RunResult,
    Verdict,
)
from modeltest.api.flat_metrics import shape_name
from modeltest.machine.files import write_text

COMPLETE, FAILED = "complete", "failed"
RUN_CASE = "run"

_TYPES = {"failure": "INVALID", "error": "failed", "skipped": "INCONCLUSIVE"}
_NAMED_ERRORS = 5
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, not even as a reference."""


@dataclass(frozen=True, slots=True)
class Check:
    """One test case: its name, what it says, and what is wrong with it."""

    name: str
    output: str = ""
    failure: str | None = None
    error: str | None = None
    skipped: str | None = None


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
    cases = list(_parts(result))
    is_shown = any(case.failure is not None or case.error is not None for case in cases)
    reasons = "\n".join((*result.reasons, *result.warnings))
    failure = error = None
    if result.verdict is None or result.status == FAILED:
        error = f"{result.status}: {result.error or 'the run has no verdict'}"
    elif result.verdict is Verdict.INVALID and (result.status != COMPLETE or not is_shown):
        failure = reasons or "the run is INVALID"
    verdict = result.verdict.value if result.verdict else result.status
    return [Check(RUN_CASE, f"verdict: {verdict}\n{reasons}".strip(), failure, error), *cases]


def _parts(result: RunResult) -> Iterator[Check]:
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        errors = _errors_by_subject(result) if summary.failed else {}
        for subject, proportion in summary.subjects.items():
            yield _of_subject(subject, proportion, errors.get(subject, []))
    elif isinstance(summary, PerformanceSummary):
        yield from (_of_case(case) for case in summary.cases)
    elif isinstance(summary, MaxBatchSummary):
        yield from (_of_search(search) for search in summary.cases)
    elif isinstance(summary, PrecisionSummary):
        yield from (_of_output(output) for output in summary.outputs)
    elif isinstance(summary, GenerationSummary):
        for text in summary.texts:
            output = f"{text.prompt_tokens} prompt tokens, {text.output_tokens} new tokens"
            yield Check(f"prompt {text.index}", output, error=text.error)
    elif isinstance(summary, HarnessSummary):
        yield from _of_harness(summary)


def _errors_by_subject(result: RunResult) -> dict[str, list[str]]:
    """Return what the failed questions say, by subject."""
    errors: dict[str, list[str]] = {}
    for sample in result.samples:
        if sample.score.error is not None:
            errors.setdefault(sample.score.subject, []).append(
                f"{sample.score.request_id}: {sample.score.error}"
            )
    return errors


def _of_subject(subject: str, proportion: Proportion, errors: Sequence[str]) -> Check:
    accuracy = "-" if proportion.accuracy is None else f"{proportion.accuracy:.2%}"
    output = f"{proportion.correct} of {proportion.total} right: {accuracy}"
    if not errors:
        return Check(subject, output)
    more = len(errors) - _NAMED_ERRORS
    named = "\n".join(errors[:_NAMED_ERRORS]) + (f"\nand {more} more" if more > 0 else "")
    return Check(subject, output, error=f"{len(errors)} of {proportion.total} questions failed\n{named}")


def _of_case(case: CaseSummary) -> Check:
    values = [
        f"{name} {found.median:.4g}" + (f" ({found.low:.4g} .. {found.high:.4g})" if found.low else "")
        for name, found in case.metrics.items()
        if found.median is not None
    ]
    lines = [f"verdict: {case.verdict.value} over {case.trials} trials", *values, *case.reasons, *case.notes]
    failure = "\n".join(case.reasons) or "INVALID" if case.verdict is Verdict.INVALID else None
    return Check(f"{shape_name(case.case)} batch {case.batch_size}", "\n".join(lines), failure)


def _of_search(search: MaxBatchCase) -> Check:
    found = f"max batch {search.max_batch} ({search.status.value}): {search.reason}"
    failure = "\n".join(search.reasons) or search.reason if search.verdict is Verdict.INVALID else None
    name = f"{shape_name(search.case)} within {search.limit_ms:g} ms"
    return Check(name, "\n".join((found, *search.reasons)), failure)


def _of_output(output: PrecisionOutput) -> Check:
    name = f"{shape_name(output.case)} batch {output.batch_size} prompt {output.prompt}"
    text = f"{output.rows_that_differ} of {output.rows} rows differ from the first"
    failure = "\n".join(output.reasons) or text if output.verdict is Verdict.INVALID else None
    return Check(name, "\n".join((text, *output.reasons)), failure)


def _of_harness(summary: HarnessSummary) -> Iterator[Check]:
    lines: dict[str, list[str]] = {}
    for one in summary.metrics:
        value = "-" if one.value is None else f"{one.value:.4g}"
        lines.setdefault(one.task, []).append(f"{one.metric} ({one.filter}): {value}")
    for task, found in lines.items():
        yield Check(task, "\n".join(found))


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
