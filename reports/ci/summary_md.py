"""`summary.md`: a run on one screen, for the job summaries of CI systems.

GitHub takes at most 1 MiB a step; the file stays far below it, and says what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from modeltest.api import (
    AccuracySummary,
    CaseSummary,
    Distribution,
    GenerationSummary,
    HarnessSummary,
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
from reports.markdown import bullets, details, escape, quoted, table

MOST_BYTES = 512 * 1024
"""Of the whole file: what comes last is left out."""

MOST_ROWS = 200
MOST_FAILED = 20

MARKS = {
    Verdict.VALID: "\N{WHITE HEAVY CHECK MARK}",
    Verdict.NOISY: "\N{WARNING SIGN}",
    Verdict.SUSPECT: "\N{WARNING SIGN}",
    Verdict.INVALID: "\N{CROSS MARK}",
}


class SummaryMd:
    """Writes `summary.md`."""

    name = "summary_md"

    def accepts(self, result: RunResult) -> bool:
        """Say that every run can be told in short."""
        return True

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "summary.md"
        write_text(path, limited(sections(result)))
        return (path,)


def limited(parts: Sequence[str]) -> str:
    """Return as many of `parts` as fit, the first first, with a word on those that do not."""
    note = "\nThe rest is too long for a summary.\n"
    taken: list[str] = []
    room = MOST_BYTES - len(note.encode())
    for part in parts:
        room -= len(part.encode()) + 1
        if room < 0:
            return "\n".join(taken) + note
        taken.append(part)
    return "\n".join(taken)


def sections(result: RunResult) -> list[str]:
    """Return the summary in pieces that stand for themselves, the most telling first."""
    parts = [f"## {_title(result)}\n", f"{headline(result)}\n", _table(result)]
    if result.reasons or result.warnings:
        told = details if result.verdict is Verdict.VALID else _opened
        parts.append(told("Reasons and warnings", bullets((*result.reasons, *result.warnings))))
    if failed := _failed(result):
        parts.append(details("Questions that failed", failed))
    parts.append(details("What was run on what", _facts(result)))
    return [part for part in parts if part.strip()]


def headline(result: RunResult) -> str:
    """Return the most telling numbers in one line of Markdown."""
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        micro = summary.micro
        return (
            f"**accuracy {_share(micro.accuracy)}**{_interval(micro)}: {micro.correct} of {micro.total} right"
        )
    if isinstance(summary, PerformanceSummary):
        return f"{len(summary.cases)} cases{_worst(summary)}"
    if isinstance(summary, MaxBatchSummary):
        return "; ".join(
            f"{shape_name(case.case)}: **max batch {case.max_batch or '-'}** within {case.limit_ms:g} ms"
            for case in summary.cases
        )
    if isinstance(summary, PrecisionSummary):
        differing = sum(bool(output.rows_that_differ) for output in summary.outputs)
        return f"**{differing} of {len(summary.outputs)} outputs** differ between rows of one batch"
    if isinstance(summary, GenerationSummary):
        return f"**{len(summary.texts)} of {summary.expected} prompts**"
    if isinstance(summary, HarnessSummary):
        return f"{len(summary.metrics)} metrics of {escape(summary.harness)} {escape(summary.version or '')}"
    return escape(result.error or result.status)


def _title(result: RunResult) -> str:
    verdict = result.verdict
    word = f"{MARKS[verdict]} {verdict.value}" if verdict else f"{MARKS[Verdict.INVALID]} {_end(result)}"
    engine = result.engine
    where = f" on {escape(engine.device)} in {escape(engine.dtype)}" if engine else ""
    shots = result.spec.options.shots
    what = result.spec.mode + (f", {shots} shots" if shots is not None else "")
    return f"{word}: {escape(what)}: {escape(result.model.label)} with {escape(result.spec.engine)}{where}"


def _end(result: RunResult) -> str:
    return escape(result.status.upper())


def _worst(summary: PerformanceSummary) -> str:
    bad = [case for case in summary.cases if case.verdict is not Verdict.VALID]
    return f", **{len(bad)} of them not VALID**" if bad else ", all VALID"


def _table(result: RunResult) -> str:
    header, rows = _rows(result)
    shown = list(islice(rows, MOST_ROWS + 1))
    text = table(header, shown[:MOST_ROWS]) if shown else ""
    if len(shown) > MOST_ROWS:
        text += f"\nThe first {MOST_ROWS} rows; the others are in `metrics.json`.\n"
    return text


def _rows(result: RunResult) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        return ("subject", "right", "questions", "accuracy", "95 % interval"), _subject_rows(summary)
    if isinstance(summary, PerformanceSummary):
        header = ("case", "batch", "trials", "TTFT ms", "TPOT ms", "E2E s", "tokens/s", "verdict")
        return header, (_case_row(case) for case in summary.cases)
    if isinstance(summary, MaxBatchSummary):
        return (
            ("case", "range", "limit ms", "max batch", "latency ms", "status", "verdict"),
            (
                (
                    *(shape_name(case.case), f"{case.lowest}..{case.highest}", f"{case.limit_ms:g}"),
                    *("-" if case.max_batch is None else str(case.max_batch), _number(case.latency_ms)),
                    *(case.status.value, case.verdict.value),
                )
                for case in summary.cases
            ),
        )
    if isinstance(summary, PrecisionSummary):
        return (
            ("case", "batch", "prompt", "rows", "rows that differ", "verdict", "output"),
            (_output_row(output) for output in summary.outputs),
        )
    if isinstance(summary, GenerationSummary):
        return (
            ("prompt", "tokens", "new tokens", "text"),
            (
                (
                    quoted(text.prompt),
                    str(text.prompt_tokens),
                    str(text.output_tokens),
                    quoted(text.text or text.error or ""),
                )
                for text in summary.texts
            ),
        )
    if isinstance(summary, HarnessSummary):
        return (
            ("task", "filter", "metric", "value", "standard error"),
            (
                (
                    *(escape(one.task), escape(one.filter), escape(one.metric)),
                    _number(one.value),
                    _number(one.standard_error),
                )
                for one in summary.metrics
            ),
        )
    return (), iter(())


def _subject_rows(summary: AccuracySummary) -> Iterator[Sequence[str]]:
    yield _proportion_row("**all questions**", summary.micro)
    parts = (*summary.categories.items(), *summary.groups.items())
    if len(parts) > 1:
        for name, proportion in parts:
            yield _proportion_row(f"*{escape(name)}*", proportion)
    if len(summary.subjects) > 1:
        for name, proportion in summary.subjects.items():
            yield _proportion_row(escape(name), proportion)


def _proportion_row(name: str, proportion: Proportion) -> Sequence[str]:
    return (
        *(name, str(proportion.correct), str(proportion.total), _share(proportion.accuracy)),
        _interval(proportion).strip(" ()"),
    )


def _case_row(case: CaseSummary) -> Sequence[str]:
    metrics = case.metrics
    return (
        *(shape_name(case.case), str(case.batch_size), str(case.trials)),
        *(
            _with_interval(metrics.get(name))
            for name in ("ttft_ms", "tpot_ms", "e2e_s", "output_tokens_per_s")
        ),
        case.verdict.value,
    )


def _output_row(output: PrecisionOutput) -> Sequence[str]:
    return (
        *(shape_name(output.case), str(output.batch_size), str(output.prompt), str(output.rows)),
        *(str(output.rows_that_differ), output.verdict.value),
        quoted(output.text if output.text is not None else " ".join(map(str, output.output_tokens))),
    )


def _failed(result: RunResult) -> str:
    """Return what the first failed questions of an accuracy run say."""
    summary = result.summary
    if not isinstance(summary, AccuracySummary) or not summary.failed:
        return ""
    failed = (
        (sample.score.request_id, sample.score.error) for sample in result.samples if sample.score.error
    )
    rows = [(quoted(name), quoted(error or "")) for name, error in islice(failed, MOST_FAILED)]
    more = summary.failed - len(rows)
    return table(("question", "error"), rows, has_numbers=False) + (
        f"\nand {more} more in `samples.jsonl`\n" if more else ""
    )


def _facts(result: RunResult) -> str:
    spec, model, engine, dataset = result.spec, result.model, result.engine, result.dataset
    facts = {
        "model": f"{model.label} ({model.model_type or 'no checkpoint'})",
        "weights": model.fingerprint,
        "engine": f"{spec.engine}, served by {result.adapter}",
        "device": f"{engine.device}, {engine.dtype}" if engine else None,
        "versions": ", ".join(f"{name} {version}" for name, version in engine.versions.items())
        if engine
        else None,
        "dataset": f"{dataset.name} {dataset.split}, sha256 {dataset.sha256}" if dataset else None,
        "started": result.started,
        "time": ", ".join(f"{name} {seconds:.3g} s" for name, seconds in result.timing_s.items()),
        "ModelTest": result.modeltest_version,
        "command": result.command,
    }
    rows = [(name, quoted(value, most=1000)) for name, value in facts.items() if value]
    return table(("what", "value"), rows, has_numbers=False)


def _opened(title: str, body: str) -> str:
    return f"**{escape(title)}**\n\n{body}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _interval(proportion: Proportion) -> str:
    if proportion.low is None or proportion.high is None:
        return ""
    return f" ({proportion.low:.2%} .. {proportion.high:.2%})"


def _with_interval(found: Distribution | None) -> str:
    if found is None or found.median is None:
        return "-"
    if found.low is None or found.high is None:
        return _number(found.median)
    return f"{_number(found.median)} ({_number(found.low)} .. {_number(found.high)})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
