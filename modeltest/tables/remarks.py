"""What is said of a result below its table: what the engine did, what each case reached, what stopped it."""

from __future__ import annotations

from collections.abc import Iterable

from modeltest.api import ClientUse, RunResult, RunStatus
from modeltest.present import presentation_of


def remarks(result: RunResult) -> Iterable[str]:
    """Yield the lines that stand between the table and the verdict."""
    yield from _engine_lines(result)
    if result.summary is not None:
        yield from presentation_of(result.summary).remarks(result.summary)
    yield from _interruption_lines(result)


def _engine_lines(result: RunResult) -> Iterable[str]:
    """Say what of the time was inside the model, and what nobody should overlook."""
    usage, run_s = result.usage, result.timing_s.get("run")
    if usage is not None and usage.client is not None:
        yield from _client_lines(usage.client)
    if usage is not None and usage.held_times:
        yield (
            f"{usage.held_times} times of tokens held against the clock of the engine's library: "
            + (f"{usage.differing_times} differ, see log.txt" if usage.differing_times else "none differs")
        )
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


def _client_lines(use: ClientUse) -> Iterable[str]:
    """Say what asking a server took, and how late the client itself was."""
    text = f"{use.requests} requests to the server, {use.retries} of them again"
    if use.cached_prompt_tokens:
        text += f"; {use.cached_prompt_tokens} prompt tokens out of its cache"
    yield text
    if use.thinking_answers:
        yield f"{use.thinking_answers} answers came behind thoughts, which are no part of them"
    if use.send_lag_ms is not None and use.loop_lag_ms is not None:
        yield (
            f"the client's own delay in timed batches: {use.send_lag_ms:.2f} ms at most until a request was "
            f"written, {use.loop_lag_ms:.2f} ms at most behind a moment it had set itself"
        )


def _interruption_lines(result: RunResult) -> Iterable[str]:
    """Say what stopped a run that went on; what ended one that did not is among its reasons."""
    went_on = result.interruptions if result.status == RunStatus.COMPLETE else result.interruptions[:-1]
    for lost in went_on:
        yield f"went on after: {lost.reason}"
