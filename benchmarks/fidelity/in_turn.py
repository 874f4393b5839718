"""ModelTest's own measuring and the bare loop in turn, trial by trial, in one process.

A process of its own, `python -m fidelity.in_turn ORDER.json`, the order that of `bare_loop` with `turns` for
`trials`. A turn is three batches of the same shape: one that ModelTest measures as in a run, one of which it
times the end alone, and one of the bare loop, on a second copy of the model. What disturbs a machine lasts
longer than a turn, so that it is in all three.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fidelity.bare_loop import device_of, dtype_of, load_model, time_trial

from engines.hf.engine import HFEngine
from modeltest.api import Case, EngineInfo, RunSpec, Trial
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.run.worker.measurement import measure as measure_trial
from modeltest.tasks.prompt_sources import CaseInputs, choose_prompts
from modeltest.tasks.readings import BARE, MEASURE, TrialReading, read_trial
from modeltest.tasks.shapes import combinations

Turn = Mapping[str, Mapping[str, float]]
"""By side, `modeltest`, `end_alone` and `bare`, then by metric."""


def main(arguments: list[str]) -> None:
    """Time what the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    path = Path(order["directory"]) / "result.json"
    path.write_text(json.dumps({"turns": measure(order)}, indent=2) + "\n", encoding="utf-8")


def measure(order: Mapping[str, Any]) -> list[Turn]:
    """Return the turns after the warm-up. Which side is first goes round; every batch has fresh token ids."""
    spec = _spec(order)
    engine = HFEngine()
    info = engine.load(spec, inspect_checkpoint(spec))
    sides = {
        "modeltest": lambda trial: _values(_ours(engine, info, spec, trial, MEASURE)),
        "end_alone": lambda trial: {"e2e_ms": _elapsed_ms(_ours(engine, info, spec, trial, BARE))},
        "bare": _bare_side(order),
    }
    names = list(sides)
    turns = []
    for number in range(order["warmup"] + order["turns"]):
        first = number % len(names)
        turns.append({name: sides[name](number) for name in names[first:] + names[:first]})
    engine.close()
    return turns[order["warmup"] :]


def _spec(order: Mapping[str, Any]) -> RunSpec:
    return RunSpec(
        "hf",
        "performance",
        "performance",
        "auto",
        order["model"],
        dtype=dtype_of(order),
        device=device_of(order),
        cases=(Case(order["input_tokens"], order["output_tokens"]),),
        batch_sizes=((order["batch_size"],),),
    )


def _ours(engine: HFEngine, info: EngineInfo, spec: RunSpec, number: int, phase: str) -> TrialReading:
    (combination,) = combinations(spec)
    inputs: CaseInputs = choose_prompts(spec, info, None).inputs_of(combination)
    # Two batches a turn: no trial shares its prompts with another.
    requests = inputs.of_trial(2 * number + (phase == BARE), number).requests
    if phase == BARE:
        requests = tuple(replace(request, only_end_timed=True) for request in requests)
    measurement = measure_trial(engine, Trial(0, combination.batch_size, number, phase, requests))
    reading = read_trial(measurement, combination.case)
    if reading.problems:
        raise SystemExit("; ".join(reading.problems))
    return reading


def _values(reading: TrialReading) -> dict[str, float]:
    found = {name: reading.values[name] for name in ("tpot_ms", "ttft_ms")}
    return {**{name: value for name, value in found.items() if value}, "e2e_ms": _elapsed_ms(reading)}


def _elapsed_ms(reading: TrialReading) -> float:
    assert reading.elapsed_s is not None
    return reading.elapsed_s * 1e3


def _bare_side(order: Mapping[str, Any]) -> Callable[[int], dict[str, float]]:
    import torch

    model = load_model(order["model"], device=device_of(order), dtype=dtype_of(order))
    generator = torch.Generator().manual_seed(0)
    shape = (order["batch_size"], order["input_tokens"])

    def bare(_number: int) -> dict[str, float]:
        ids = torch.randint(1, model.config.vocab_size, shape, generator=generator)
        return time_trial(model, ids, order["output_tokens"])

    return bare


if __name__ == "__main__":
    main(sys.argv[1:])
