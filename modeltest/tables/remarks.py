"""What is said of a result below its table: what the engine did, what each case reached, what stopped it."""

from __future__ import annotations

from collections.abc import Iterable

from modeltest.api import CasePrompts, CaseSummary, PerformanceSummary, RunResult, Summary
from modeltest.run.record.directory import COMPLETE
from modeltest.tables.cells import shape


def remarks(result: RunResult) -> Iterable[str]:
    """Yield the lines that stand between the table and the verdict."""
    yield from _engine_lines(result)
    yield from _case_lines(result.summary)
    yield from _interruption_lines(result)
    yield from _prompt_lines(result.summary)


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
    if usage.alone_rows:
        yield f"{usage.alone_rows} rows were asked one by one, as docs/beliefs.md explains"
    if usage.model_loads is not None and usage.model_loads > 1:
        yield f"the model was loaded {usage.model_loads} times: see log.txt"


def _case_lines(summary: Summary | None) -> Iterable[str]:
    """Say of each timed case what the device did, what timing it cost, and the memory it took."""
    for case in summary.cases if isinstance(summary, PerformanceSummary) else ():
        parts = [*_rate_parts(case), *_cost_parts(case)]
        if parts:
            yield f"{shape(case.case)} batch {case.batch_size}: {', '.join(parts)}"


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


def _prompt_lines(summary: Summary | None) -> Iterable[str]:
    """Say what was measured where the prompts were not random token ids."""
    for case in summary.cases if isinstance(summary, PerformanceSummary) else ():
        if (prompts := case.prompts) is not None:
            yield (
                f"{shape(case.case)} batch {case.batch_size}: prompts of {_lengths(prompts)}; "
                f"{prompts.available} to choose from"
            )
            yield from (f"  {note}" for note in prompts.notes)


def _lengths(prompts: CasePrompts) -> str:
    if prompts.shortest == prompts.longest:
        return f"{prompts.longest} tokens"
    return f"{prompts.shortest} to {prompts.longest} tokens (median {prompts.median:g})"
