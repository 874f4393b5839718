"""From a finished journal to summary, verdict and report files; the same for a run and `modeltest report`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracySummary,
    AccuracyTask,
    Finding,
    FindingCode,
    HarnessTask,
    MaxBatchSummary,
    MeasurementTask,
    MissingExtra,
    ModelTestError,
    OnRequest,
    PerformanceSummary,
    PrerequisiteError,
    Question,
    RunResult,
    RunStatus,
    SequentialTask,
    Summary,
    Verdict,
)
from modeltest.certificate.files import write_certificate
from modeltest.data.load import subjects_of
from modeltest.findings import OF_QUESTIONS, as_findings, sentences, with_warnings
from modeltest.machine.disturbances import disturbances
from modeltest.machine.files import write_text
from modeltest.near_ties import NearTies
from modeltest.present import presentation_of
from modeltest.present.performance import in_case
from modeltest.rounding import resolution_of
from modeltest.run.ending.kept_answers import KeptAnswers
from modeltest.run.ending.questions import Questions
from modeltest.run.record.directory import PARTIAL_FOLDER, RUN_FILE, result_text
from modeltest.run.record.journal import FILE_NAME, end_of, lacks_digests
from modeltest.suspicion import suspicions

_NAMED = 3


def _ignore(line: str) -> None:
    """Do nothing: the default where no callback is given."""


def finish(result: RunResult, directory: Path, *, tell: Callable[[str], None] = _ignore) -> RunResult:
    """Summarize `result` from its journal, write every report and `run.json`, and return it completed.

    The reports of a run that has not come to its end lie in a folder of their own, so that nobody takes them
    for those of a whole one, and its verdict is INVALID. `tell` is told which reports are left out
    for want of a package.

    Raises: PrerequisiteError when a file cannot be written.
    """
    result = judged(result, directory)
    if result.status == RunStatus.COMPLETE:
        result = replace(result, journal=end_of(directory / FILE_NAME))
    left_out: list[Finding] = []

    def broken(line: str) -> None:
        left_out.append(Finding(FindingCode.TEXT, {"text": line}))
        tell(line)

    write_reports(result, report_folder(result, directory), tell=tell, broken=broken)
    result = with_warnings(result, left_out)
    if result.status == RunStatus.COMPLETE:
        shutil.rmtree(directory / PARTIAL_FOLDER, ignore_errors=True)
    text = result_text(result)
    write_certificate(report_folder(result, directory), result, run_sha256=sha256(text.encode()).hexdigest())
    # Last: a process killed before this leaves a run that goes on, not one that lacks its reports.
    write_text(directory / RUN_FILE, text)
    return result


def judged(result: RunResult, directory: Path) -> RunResult:
    """Return `result` with summary, verdict, reasons and warnings made of its journal, and its questions."""
    result = replace(result, samples=KeptAnswers(result.samples))
    summary = summarize(result, directory)
    told = (each for each in result.findings if each.code in OF_QUESTIONS)
    findings = (*told, *_findings(summary, directory))
    asked = result.dataset.records if result.dataset else None
    verdict, reasons = judge(summary, expected_questions=asked)
    if result.status != RunStatus.COMPLETE:
        verdict, reasons = Verdict.INVALID, (_unfinished(result), *reasons)
    reasons = (*reasons, *_given_up(result, summary))
    warnings = (*_warnings(result, summary), *findings)
    return replace(
        result,
        summary=summary,
        verdict=verdict,
        reasons=sentences(reasons),
        reason_codes=reasons,
        warnings=sentences(warnings),
        warning_codes=warnings,
        findings=findings,
        questions=_questions(result, summary),
    )


def report_folder(result: RunResult, directory: Path) -> Path:
    """Return where the reports of `result` go: those of an unfinished run into a folder of their own.

    Raises: PrerequisiteError when it cannot be made.
    """
    if result.status == RunStatus.COMPLETE:
        return directory
    folder = directory / PARTIAL_FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {folder}: {problem.strerror}") from problem
    return folder


def _given_up(result: RunResult, summary: Summary) -> Iterator[Finding]:
    """Say why questions or trials failed without having been tried to the end."""
    for lost in result.interruptions:
        if lost.given_up:
            yield Finding(
                FindingCode.GIVEN_UP,
                {
                    "unit": presentation_of(summary).unit,
                    "names": lost.suspects[:_NAMED],
                    "count": len(lost.suspects),
                    "reason": lost.reason_code or lost.reason,
                },
            )


def _unfinished(result: RunResult) -> Finding:
    return Finding(
        FindingCode.RUN_UNFINISHED, {"status": str(result.status), "error": result.error_code or result.error}
    )


def summarize(result: RunResult, directory: Path) -> Summary:
    """Return the headline numbers of the journalled samples or measurements, or of a harness's own files.

    Raises: SpecError where the task file of the run has changed since.
    """
    task = registry.task_of_run(result.spec, result.task_files)
    if isinstance(task, AccuracyTask):
        samples = NearTies(result.samples, margin=resolution_of(result).near_tie)
        summary = task.summarize(samples, subjects_of(task))
        return samples.noted_in(summary) if isinstance(summary, AccuracySummary) else summary
    if isinstance(task, MeasurementTask):
        return task.summarize_measurements(result.measurements, result.spec, result.engine)
    if isinstance(task, SequentialTask):
        return task.summarize_answers(result.samples, result.spec, result.model)
    if isinstance(task, HarnessTask):
        return task.summarize_files(directory)
    raise ModelTestError(f"task {task.name!r} summarizes nothing")


def judge(summary: Summary, *, expected_questions: int | None = None) -> tuple[Verdict, tuple[Finding, ...]]:
    """Return whether the numbers may be used, and why not.

    `expected_questions` is how many an accuracy run was to ask; `None` when it ended before that was known.
    """
    return presentation_of(summary).judgement(
        summary,
        expected_questions=expected_questions,
        findings=frozenset(finding.code for finding in _of_answers(summary)),
    )


def _of_answers(summary: Summary) -> Iterable[Finding]:
    return suspicions(summary) if isinstance(summary, AccuracySummary) else ()


def _findings(summary: Summary, directory: Path) -> Iterator[Finding]:
    yield from _of_answers(summary)
    if lacks_digests(directory / FILE_NAME):
        yield Finding(FindingCode.JOURNAL_WITHOUT_DIGESTS)


def _warnings(result: RunResult, summary: Summary) -> tuple[Finding, ...]:
    """Return what may disturb a timed run, and what the cases have to say beside their verdicts."""
    if not isinstance(summary, PerformanceSummary | MaxBatchSummary):
        return ()
    cases = summary.cases if isinstance(summary, PerformanceSummary) else ()
    notes = [in_case(case, note) for case in cases for note in as_findings(case.notes, case.note_codes)]
    return (*disturbances(result.machine, result.engine), *notes)


def write_reports(
    result: RunResult,
    directory: Path,
    *,
    tell: Callable[[str], None] = _ignore,
    broken: Callable[[str], None] = _ignore,
) -> tuple[Path, ...]:
    """Write every report that has something to say of `result`, unasked, and return the files' paths.

    A report that lacks an optional package is left out: `tell` is told which package that is. So is one that
    is broken, since the run is what it is without it: `broken` is told which, and why.

    Raises: PrerequisiteError when a file cannot be written.
    """
    paths: list[Path] = []
    for report in registry.reports(broken):
        try:
            with registry.guard(f"report {report.name!r} is left out"):
                if not isinstance(report, OnRequest) and report.accepts(result):
                    paths.extend(report.write(result, directory))
        except MissingExtra as missing:
            tell(str(missing))
        except registry.PlugInError as problem:
            broken(str(problem))
    return tuple(paths)


def write_reports_of_failure(result: RunResult, directory: Path, *, tell: Callable[[str], None]) -> None:
    """Write what CI systems read of a run that ended before there was a number: `junit.xml` and `summary.md`.

    These are the reports that accept a result without a summary. One that cannot be written is told and left
    out: what ended the run says more.

    Raises: PrerequisiteError when the folder for them cannot be made.
    """
    folder = report_folder(result, directory)
    for report in registry.reports(tell):
        try:
            if not isinstance(report, OnRequest) and report.accepts(result):
                report.write(result, folder)
        except (Exception, SystemExit) as problem:  # someone else's plug-in, perhaps
            tell(f"report {report.name} is left out: {type(problem).__name__}: {problem}")


def _questions(result: RunResult, summary: Summary) -> Iterable[Question]:
    if result.dataset is None or not isinstance(summary, AccuracySummary):
        return ()
    return Questions(result.spec, result.dataset)
