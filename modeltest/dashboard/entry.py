"""What the index keeps of one run, read from its directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modeltest.api import (
    Finding,
    FindingCode,
    FlatMetric,
    ModelTestError,
    RunResult,
    RunState,
    Verdict,
    dtype_word,
)
from modeltest.dashboard.evidence import Evidence, evidence_of
from modeltest.dashboard.find import report_of
from modeltest.dashboard.identity import (
    EARLIER_NAME,
    device_of,
    earlier_name_of,
    engine_of,
    model_of,
    task_of,
)
from modeltest.findings import sentence
from modeltest.present import flat_metrics, outcome_of
from modeltest.run.record.directory import RUN_FILE, read_result

FOLLOWED = frozenset(
    {
        "accuracy",
        "ttft_ms",
        "tpot_ms",
        "output_tokens_per_s",
        "peak_memory_bytes",
        "max_batch",
        "harness",
        "rows_that_differ",
        "failed_prompts",
    }
)
"""Families whose numbers a site shows over time; the index has all of them."""

_UNFOLLOWED_PARTS = ("subject.",)
"""Fifty-seven lines of a chart are none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run as it is now. `run_sha256` tells two copies of a run and two runs apart."""

    directory: str
    state: RunState
    problem: str | None = None
    problem_code: Finding | None = None
    run_sha256: str | None = None
    started: str | None = None
    model: str = ""
    task: str = ""
    engine: str = ""
    device: str = ""
    verdict: Verdict | None = None
    decision: str | None = None
    decision_tone: Verdict | None = None
    reasons: Sequence[str] = ()
    reason_codes: Sequence[Finding] = ()
    warnings: Sequence[str] = ()
    warning_codes: Sequence[Finding] = ()
    command: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    report: str | None = None
    metrics: Sequence[FlatMetric] = ()
    evidence: Evidence | None = None


def read_entry(directory: Path) -> Entry:
    """Return what there is in `directory`; what cannot be read is said, never raised."""
    try:
        digest = digest_of(directory)
        return _entry(directory, read_result(directory), digest)
    except (ModelTestError, OSError, ValueError, RecursionError) as problem:
        return Entry(str(directory), RunState.UNREADABLE, problem=_in_short(problem, directory))


def digest_of(directory: Path) -> str:
    """Return the digest of the run's run.json.

    Raises: OSError.
    """
    return hashlib.sha256((directory / RUN_FILE).read_bytes()).hexdigest()


def is_followed(metric: FlatMetric) -> bool:
    """Say whether a site shows the metric over time."""
    return metric.family in FOLLOWED and not metric.case.startswith(_UNFOLLOWED_PARTS)


def _entry(directory: Path, result: RunResult, digest: str) -> Entry:
    report = report_of(directory)
    state = RunState(result.status)
    problem = _problem_of(result, state)
    outcome = outcome_of(result) if state is RunState.COMPLETE else None
    return Entry(
        directory=str(directory),
        state=state,
        problem=sentence(problem) if problem else None,
        problem_code=problem,
        run_sha256=digest,
        started=result.started,
        model=model_of(result),
        task=task_of(result.spec),
        engine=engine_of(result),
        device=device_of(result),
        verdict=result.verdict,
        decision=outcome.word if outcome else None,
        decision_tone=outcome.tone if outcome else None,
        reasons=(*result.reasons, *(outcome.reasons if outcome else ())),
        reason_codes=(*result.reason_codes, *(outcome.reason_codes if outcome else ())),
        warnings=result.warnings,
        warning_codes=result.warning_codes,
        command=result.command,
        facts=dict(_facts(result)),
        report=str(report) if report else None,
        # Numbers of a part of the questions are not those of the whole.
        metrics=flat_metrics(result) if state is RunState.COMPLETE else (),
        evidence=evidence_of(result, directory) if state is RunState.COMPLETE else None,
    )


def _problem_of(result: RunResult, state: RunState) -> Finding | None:
    """Return what to say of a run that gave no numbers here."""
    cluster = result.spec.cluster
    if state is RunState.FOLLOWED and cluster is not None:
        return Finding(FindingCode.PART_OF_ANOTHER_NODE, {"address": cluster.master_address})
    if result.error is None:
        return None
    return result.error_code or Finding(FindingCode.TEXT, {"text": result.error})


def _facts(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield what identifies a run beside its names, for those who ask what has changed."""
    engine = result.engine
    dtype = engine.dtype if engine else result.spec.dtype or result.model.dtype
    found = {
        "precision": dtype_word(dtype, result.model.quantize),
        "fingerprint": result.model.fingerprint,
        EARLIER_NAME: earlier_name_of(result),
        "modeltest": result.modeltest_version,
        "protocol": result.protocol_version,
        "processor": result.machine.get("processor"),
        "python": result.machine.get("python"),
        "dataset_sha256": result.dataset.sha256 if result.dataset else None,
        **{f"{name} sha256": digest for name, digest in result.task_files.items()},
        **({f"{name} version": version for name, version in engine.versions.items()} if engine else {}),
    }
    for name, value in found.items():
        if value not in (None, ""):
            yield name, str(value)


def _in_short(problem: Exception, directory: Path) -> str:
    text = str(problem) or type(problem).__name__
    return text.replace(f"{directory}/", "").replace(str(directory), "it")
