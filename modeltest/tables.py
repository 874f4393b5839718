"""The result of a run as a table on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modeltest.api import (
    AccuracySummary,
    CasePrompts,
    CaseSummary,
    Distribution,
    GeneratedText,
    GenerationSummary,
    HarnessMetric,
    HarnessSummary,
    MaxBatchCase,
    MaxBatchSummary,
    PerformanceSummary,
    PrecisionOutput,
    PrecisionSummary,
    Probe,
    Proportion,
    RunResult,
    Summary,
)
from modeltest.run.directory import COMPLETE, PARTIAL_FOLDER, SCRATCH_PREFIX
from modeltest.statistics import relative_half_width

_PLAIN_WIDTH = 140
"""Width of a table that goes to a file or a pipe, where nothing says how wide it may be."""

_SHOWN = 40
"""Characters of an output that a table shows."""


def print_result(result: RunResult, directory: Path) -> None:
    """Print the table of a finished run, its verdict, and the paths of its files."""
    console = result_console()
    console.print(result_table(result))
    if isinstance(result.summary, MaxBatchSummary):
        console.print(probe_table(result.summary))
    print_verdict(console, result)
    for path in files_of(directory):
        console.print(str(path), soft_wrap=True, highlight=False, markup=False)


def files_of(directory: Path) -> list[Path]:
    """Return the files of a run in the order of their names, a partial result last; a folder is one."""
    files: list[Path] = []
    for folder in (directory, directory / PARTIAL_FOLDER):
        found = folder.iterdir() if folder.is_dir() else ()
        files += sorted(path for path in found if not path.name.startswith((SCRATCH_PREFIX, PARTIAL_FOLDER)))
    return files


def result_console() -> Console:
    """Return a console for results: as wide as the terminal, or wide enough when there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain list as a table; long cells are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    result_console().print(table)


def print_verdict(console: Console, result: RunResult) -> None:
    """Print what the engine did and each case reached, what stopped it, verdict, reasons and warnings."""
    for line in (*_engine_lines(result), *_case_lines(result.summary), *_interruption_lines(result)):
        console.print(line, markup=False, soft_wrap=True)
    for line in _prompt_lines(result.summary):
        console.print(line, markup=False, soft_wrap=True)
    verdict = result.verdict.value if result.verdict else result.status
    console.print(f"verdict: {verdict}", markup=False)
    for reason in result.reasons:
        console.print(f"  {reason}", markup=False, soft_wrap=True)
    for warning in result.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)


def _engine_lines(result: RunResult) -> Iterable[str]:
    """Say what of the time was inside the model, and what nobody should overlook."""
    usage, run_s = result.usage, result.timing_s.get("run")
    if usage is None or usage.forward_s is None or not run_s:
        return
    text = f"{run_s:.3g} s, {usage.forward_s / run_s:.0%} of it in {usage.forward_calls} forward calls"
    if usage.reused_tokens:
        text += f"; {usage.computed_tokens} tokens computed, {usage.reused_tokens} reused"
    yield text
    if usage.split_batches:
        yield f"{usage.split_batches} batches ran out of memory and were run again in smaller ones"


def _prompt_lines(summary: Summary | None) -> Iterable[str]:
    """Say what was measured where the prompts were not random token ids."""
    for case in summary.cases if isinstance(summary, PerformanceSummary) else ():
        if (prompts := case.prompts) is not None:
            yield (
                f"{_shape(case)} batch {case.batch_size}: prompts of {_lengths(prompts)}; "
                f"{prompts.available} to choose from"
            )
            yield from (f"  {note}" for note in prompts.notes)


def _lengths(prompts: CasePrompts) -> str:
    if prompts.shortest == prompts.longest:
        return f"{prompts.longest} tokens"
    return f"{prompts.shortest} to {prompts.longest} tokens (median {prompts.median:g})"


def _case_lines(summary: Summary | None) -> Iterable[str]:
    """Say of each timed case what the device did, what timing it cost, and the memory it took."""
    for case in summary.cases if isinstance(summary, PerformanceSummary) else ():
        parts = [*_rate_parts(case), *_cost_parts(case)]
        if parts:
            yield f"{_shape(case)} batch {case.batch_size}: {', '.join(parts)}"


def _rate_parts(case: CaseSummary) -> Iterable[str]:
    rates = case.achieved
    if rates is None:
        return
    for name, unit, scale, rate, peak in (
        ("decode", "GB/s", 1e9, rates.decode_bytes_per_s, rates.peak_bytes_per_s),
        ("prefill", "TFLOP/s", 1e12, rates.prefill_flop_per_s, rates.peak_flop_per_s),
    ):
        if rate is not None and peak is not None:
            yield f"{name} {rate / scale:.3g} of {peak / scale:.3g} {unit}"


def _cost_parts(case: CaseSummary) -> Iterable[str]:
    cost = case.overhead
    if cost is not None:
        interval = "" if cost.low is None else f" ({cost.low:+.1%} .. {cost.high:+.1%})"
        yield f"timing costs {cost.fraction:+.1%}{interval}"
    peak_bytes = case.peak_memory_bytes or case.peak_host_memory_bytes
    if peak_bytes is not None:
        yield f"peak memory {peak_bytes / 1e6:.0f} MB"


def _interruption_lines(result: RunResult) -> Iterable[str]:
    """Say what stopped a run that went on; what ended one that did not is among its reasons."""
    went_on = result.interruptions if result.status == COMPLETE else result.interruptions[:-1]
    for lost in went_on:
        yield f"went on after: {lost.reason}"


def result_table(result: RunResult) -> Table:
    """Return the table that suits the summary of `result`."""
    return _table(title_of(result), _header(result.summary), _rows(result.summary))


def probe_table(summary: MaxBatchSummary) -> Table:
    """Return every batch size a max-batch search tried, with its trials and what they decide."""
    header = ("case", "batch", "decision", "non-first token ms", "99 % bounds", "trials", "screens")
    rows = (_probe_row(case, probe) for case in summary.cases for probe in case.probes)
    return _table("batch sizes tried", header, rows)


def title_of(result: RunResult) -> str:
    """Return what ran on what, in one line."""
    where = (
        f"{result.engine.engine} on {result.engine.device} in {result.engine.dtype}" if result.engine else ""
    )
    shots = result.spec.options.shots
    details = [result.spec.mode] + ([f"{shots} shots"] if shots is not None else [])
    name, quantize = result.model.name, result.model.quantize
    unfinished = "" if result.status == COMPLETE else f"{result.status.upper()}: "
    return (
        f"{unfinished}{', '.join(details)}: {name}{f', {quantize} weights,' if quantize else ''} with {where}"
    )


def headline(result: RunResult) -> str:
    """Return the most telling numbers of `result` in one line."""
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        return f"accuracy {_accuracy(summary.micro)} ({summary.micro.correct}/{summary.micro.total})"
    if isinstance(summary, PerformanceSummary):
        return "; ".join(
            f"{_shape(case)} batch {case.batch_size}: TTFT {_median(case, 'ttft_ms')} ms, "
            f"TPOT {_median(case, 'tpot_ms')} ms"
            for case in summary.cases
        )
    if isinstance(summary, MaxBatchSummary):
        return "; ".join(
            f"{case.case.input_tokens}x{case.case.output_tokens}: max batch {case.max_batch} "
            f"({case.status.value}) within {case.limit_ms:g} ms, {case.reason}"
            for case in summary.cases
        )
    if isinstance(summary, PrecisionSummary):
        return "; ".join(_output_line(output) for output in summary.outputs)
    if isinstance(summary, GenerationSummary):
        return f"{len(summary.texts)} of {summary.expected} prompts"
    if isinstance(summary, HarnessSummary):
        return "; ".join(f"{one.task} {one.metric} {_number(one.value)}" for one in summary.metrics)
    return result.status


def _header(summary: Summary | None) -> Sequence[str]:
    if isinstance(summary, PerformanceSummary):
        return ("case", "batch", "trials", "TTFT ms", "TPOT ms", "CV", "E2E s", "tokens/s", "verdict")
    if isinstance(summary, MaxBatchSummary):
        return ("case", "range", "limit ms", "max batch", "non-first token ms", "status", "verdict")
    if isinstance(summary, PrecisionSummary):
        return ("case", "batch", "prompt", "prompt tokens", "rows", "rows that differ", "verdict", "output")
    if isinstance(summary, GenerationSummary):
        return ("prompt", "tokens", "text", "new tokens", "end")
    if isinstance(summary, HarnessSummary):
        return ("task", "version", "filter", "shots", "metric", "value", "standard error", "questions")
    return ("subject", "right", "questions", "accuracy", "95 % interval")


def _rows(summary: Summary | None) -> Iterable[Sequence[str]]:
    if isinstance(summary, AccuracySummary):
        yield from _accuracy_rows(summary)
    elif isinstance(summary, PerformanceSummary):
        yield from (_performance_row(case) for case in summary.cases)
    elif isinstance(summary, MaxBatchSummary):
        for case in summary.cases:
            yield (
                f"{case.case.input_tokens}x{case.case.output_tokens}",
                f"{case.lowest}..{case.highest}",
                f"{case.limit_ms:g}",
                "-" if case.max_batch is None else str(case.max_batch),
                _number(case.latency_ms),
                case.status.value,
                case.verdict.value,
            )
    elif isinstance(summary, PrecisionSummary):
        yield from (_output_row(output) for output in summary.outputs)
    elif isinstance(summary, GenerationSummary):
        yield from (_text_row(text) for text in summary.texts)
    elif isinstance(summary, HarnessSummary):
        yield from (_harness_row(metric) for metric in summary.metrics)


def _accuracy_rows(summary: AccuracySummary) -> Iterable[Sequence[str]]:
    groups = {**summary.categories, **summary.groups}
    parts = groups if len(groups) > 1 else summary.subjects
    if len(parts) > 1:
        for name, proportion in parts.items():
            yield _proportion_row(name, proportion)
    yield _proportion_row("all questions", summary.micro)
    if len(summary.subjects) > 1 and summary.macro is not None:
        yield ("mean of subjects", "", "", f"{summary.macro:.2%}", "")
    for name in ("failed", "no_answer", "truncated", "dropped_shots", "cut_prompts"):
        count = getattr(summary, name)
        if count:
            yield (name.replace("_", " "), "", str(count), "", "")
    if summary.near_ties:
        yield (f"near-ties (margin < {summary.near_tie_margin:g})", "", str(len(summary.near_ties)), "", "")


def _proportion_row(name: str, proportion: Proportion) -> Sequence[str]:
    interval = "" if proportion.low is None else f"{proportion.low:.2%} .. {proportion.high:.2%}"
    return (name, str(proportion.correct), str(proportion.total), _accuracy(proportion), interval)


def _performance_row(case: CaseSummary) -> Sequence[str]:
    tpot = case.metrics.get("tpot_ms")
    return (
        _shape(case),
        str(case.batch_size),
        str(case.trials),
        _with_interval(case, "ttft_ms"),
        _with_interval(case, "tpot_ms"),
        "-" if tpot is None or tpot.cv is None else f"{tpot.cv:.1%}",
        _with_interval(case, "e2e_s"),
        _median(case, "output_tokens_per_s"),
        case.verdict.value,
    )


def _output_row(output: PrecisionOutput) -> Sequence[str]:
    return (
        f"{output.case.input_tokens}x{output.case.output_tokens}",
        str(output.batch_size),
        str(output.prompt),
        str(len(output.prompt_tokens)),
        str(output.rows),
        str(output.rows_that_differ),
        output.verdict.value,
        escape(_beginning(output)),
    )


def _output_line(output: PrecisionOutput) -> str:
    shape = f"{output.case.input_tokens}x{output.case.output_tokens}"
    return f"{shape} batch {output.batch_size}, prompt {output.prompt}: {_beginning(output)}"


def _beginning(output: PrecisionOutput) -> str:
    """Return the first of the output in one line: the text, or else the token ids."""
    text = output.text if output.text is not None else " ".join(map(str, output.output_tokens[:_SHOWN]))
    return _in_one_line(text)


def _in_one_line(text: str) -> str:
    line = "".join(character if character.isprintable() else "\N{SYMBOL FOR NEWLINE}" for character in text)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."


def _text_row(text: GeneratedText) -> Sequence[str]:
    end = "failed" if text.error is not None else text.finish.value if text.finish else "-"
    cut = f" (cut by {text.cut_prompt_tokens})" if text.cut_prompt_tokens else ""
    return (
        escape(_in_one_line(text.prompt)),
        f"{text.prompt_tokens}{cut}",
        escape(_in_one_line(text.error or text.text or "")),
        str(text.output_tokens),
        end,
    )


def _harness_row(metric: HarnessMetric) -> Sequence[str]:
    return (
        metric.task,
        metric.version or "-",
        metric.filter,
        "-" if metric.shots is None else str(metric.shots),
        metric.metric,
        _number(metric.value),
        _number(metric.standard_error),
        "-" if metric.questions is None else str(metric.questions),
    )


def _probe_row(case: MaxBatchCase, probe: Probe) -> Sequence[str]:
    """Show a probe; a latency in brackets is that of a warm-up or a screen, which guide the search only."""
    guide = probe.warmups_ms or probe.screens_ms
    latency = _number(probe.latency_ms) if probe.latency_ms or not guide else f"({_number(guide[-1])})"
    warmups = f" + {len(probe.warmups_ms)} warm-up" if probe.warmups_ms else ""
    return (
        f"{case.case.input_tokens}x{case.case.output_tokens}",
        str(probe.batch_size),
        probe.decision.value.lower().replace("_", " ") + (", certified" if probe.is_certified else ""),
        latency,
        "" if probe.low_ms is None else f"{_number(probe.low_ms)} .. {_number(probe.high_ms)}",
        f"{len(probe.trials_ms)}{warmups}",
        str(len(probe.screens_ms)),
    )


def _shape(case: CaseSummary) -> str:
    return f"{case.case.input_tokens}x{case.case.output_tokens}"


def _median(case: CaseSummary, metric: str) -> str:
    distribution: Distribution | None = case.metrics.get(metric)
    return _number(distribution.median if distribution else None)


def _with_interval(case: CaseSummary, metric: str) -> str:
    """Return the median and half of its 95 % interval, where there is one."""
    distribution: Distribution | None = case.metrics.get(metric)
    width = relative_half_width(distribution) if distribution else None
    return _median(case, metric) + ("" if width is None else f" ±{width:.1%}")


def _accuracy(proportion: Proportion) -> str:
    return "-" if proportion.accuracy is None else f"{proportion.accuracy:.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
