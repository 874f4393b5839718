"""Times batches with the `hf` engine, as ModelTest does: one load, then each batch as often as asked for.

A process of its own, `python -m maxbs_comparison.timed_batches ORDER.json`. The order names the `model`, the
case as `input_tokens` and `output_tokens`, the `batch_sizes` in turn and the `directory` for `result.json`,
which has one entry per batch: its size and its non-first-token time in ms, `null` when it did not fit.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from modeltest import registry
from modeltest.api import Case, EngineInfo, RunSpec, Trial
from modeltest.metrics import non_first_token_ms
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.run.worker.measurement import measure
from modeltest.tasks.inputs import ordinary_token_ids, random_requests


def main(arguments: list[str]) -> None:
    """Time what the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    path = Path(order["directory"]) / "result.json"
    path.write_text(json.dumps(time_batches(order), indent=2) + "\n", encoding="utf-8")


def time_batches(order: dict[str, Any]) -> list[dict[str, float | int | None]]:
    """Return the batches in the order they were run, each with fresh prompts."""
    spec = RunSpec("hf_fp32", "performance", "performance", "auto", order["model"], device="cpu")
    case = Case(order["input_tokens"], order["output_tokens"])
    model = inspect_checkpoint(spec)
    results = []
    with closing(registry.load_engine("hf")) as engine:
        info: EngineInfo = engine.load(spec, model)
        token_ids = ordinary_token_ids(info)
        for number, batch_size in enumerate(order["batch_sizes"]):
            requests = random_requests(case, batch_size, number, seed=order["seed"], token_ids=token_ids)
            measurement = measure(engine, Trial(0, batch_size, number, "measure", requests))
            latency_ms = None if measurement.error else non_first_token_ms(measurement)
            results.append({"batch_size": batch_size, "latency_ms": latency_ms})
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
