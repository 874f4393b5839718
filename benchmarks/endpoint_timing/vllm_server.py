"""A real vLLM on one core, and what its own metrics say of a stretch of time."""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "OMP_NUM_THREADS": "1",
}
HISTOGRAMS = {
    "TTFT": "vllm:time_to_first_token_seconds",
    "gap": "vllm:inter_token_latency_seconds",
    "TPOT": "vllm:request_time_per_output_token_seconds",
}
START_S = 300

_LINE = re.compile(r"^(?P<name>[a-z_:]+)\{[^}]*\} (?P<value>\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mean:
    """What a histogram saw between two readings: how many times, and their mean in ms."""

    count: int
    mean_ms: float


@contextmanager
def vllm_server(python: Path, model: Path, port: int, *, core: int, log: Path) -> Iterator[str]:
    """Run vLLM's server on `core` and yield its URL.

    Raises: RuntimeError when it does not answer.
    """
    words = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    words += ["--served-model-name", "measured", "--dtype", "float32", "--max-model-len", "2048"]
    words += ["--enforce-eager", "--max-num-seqs", "32", "--host", "127.0.0.1", "--port", str(port)]
    before = os.sched_getaffinity(0)
    with log.open("w") as file:
        os.sched_setaffinity(0, {core})  # a child begins where its parent is
        try:
            process = subprocess.Popen(
                words, stdout=file, stderr=file, env={**os.environ, **ENVIRONMENT}, start_new_session=True
            )
        finally:
            os.sched_setaffinity(0, before)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"vLLM does not answer; {log} says why")


def read_metrics(url: str) -> dict[str, float]:
    """Return sums and counts of the histograms of the server at `url` (its OpenAI routes)."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics", timeout=30) as answer:
        return parse_metrics(answer.read().decode())


def parse_metrics(text: str) -> dict[str, float]:
    """Return sums and counts of the histograms in what `/metrics` answers, all labels together."""
    wanted = {f"{name}_{part}" for name in HISTOGRAMS.values() for part in ("sum", "count")}
    found = dict.fromkeys(wanted, 0.0)
    for line in _LINE.finditer(text):
        if line["name"] in wanted:
            found[line["name"]] += float(line["value"])
    return found


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Mean]:
    """Return what each histogram saw between two readings."""
    means = {}
    for kind, name in HISTOGRAMS.items():
        count = round(after[f"{name}_count"] - before[f"{name}_count"])
        total_s = after[f"{name}_sum"] - before[f"{name}_sum"]
        means[kind] = Mean(count, 1000 * total_s / count if count else 0.0)
    return means
