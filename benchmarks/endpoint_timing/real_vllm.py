"""The engine `openai` against a real vLLM: means of the client beside those of the server's own metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from endpoint_timing.asking import Batch, asked, engine_for
from endpoint_timing.deviations import Stream
from endpoint_timing.vllm_server import Mean, between, read_metrics, vllm_server

from modeltest.machine.ports import free_port

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Beside:
    """Means of one number of streams, by kind of time: the server's, and the client's."""

    streams: int
    server: Mapping[str, Mean]
    client: Mapping[str, Mean]


def beside_vllm(
    python: Path, model: Path, folder: Path, batches: Sequence[Batch], *, trials: int, cores: tuple[int, int]
) -> list[Beside]:
    """Run vLLM of the environment of `python` on the first of `cores`, and ask it from the second."""
    draws = Random(0)
    options = {"tokenizer": str(model)}
    with (
        vllm_server(python, model, free_port(os.environ), core=cores[0], log=folder / "vllm.log") as url,
        engine_for(url, options, core=cores[1]) as engine,
    ):
        found = []
        for batch in batches:
            asked(engine, batch.requests(draws))  # compiles what it compiles
            before = read_metrics(url)
            streams = [one for _ in range(trials) for one in asked(engine, batch.requests(draws)).values()]
            found.append(Beside(batch.streams, between(before, read_metrics(url)), means(streams)))
        return found


def means(streams: Sequence[Stream]) -> dict[str, Mean]:
    """Return the client's means by kind of time."""
    return {
        "TTFT": _mean([one.first_ns for one in streams]),
        "gap": _mean([gap for one in streams for gap in one.gaps_ns]),
        "TPOT": _mean([one.per_token_ns for one in streams]),
    }


def _mean(values_ns: Sequence[float]) -> Mean:
    return Mean(len(values_ns), sum(values_ns) / len(values_ns) / _NS_PER_MS if values_ns else 0.0)


def table(rows: Sequence[Beside]) -> str:
    """Return Markdown: one row per number of streams and kind of time."""
    lines = ["| streams | time | vLLM's count | its mean ms | client's count | its mean ms | apart |"]
    lines.append("|---:|---|---:|---:|---:|---:|---:|")
    for row in rows:
        for kind, server in row.server.items():
            client = row.client[kind]
            apart = f"{client.mean_ms / server.mean_ms - 1:+.2%}" if server.mean_ms else "-"
            figures = f"{server.count} | {server.mean_ms:.3f} | {client.count} | {client.mean_ms:.3f}"
            lines.append(f"| {row.streams} | {kind} | {figures} | {apart} |")
    return "\n".join(lines)
