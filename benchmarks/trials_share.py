"""Measures what the trials at load cost: their share of loading a model and asking it questions of MMLU.

    modeltest demo-model smollm2 smollm2-bf16 --dtype bf16
    python benchmarks/trials_share.py smollm2-bf16 --dtype bfloat16

A round is a process that loads the model and answers as `modeltest accuracy --protocol lm-eval` does at batch
size 8. The share is that of the time within trials. Some of it is saved afterwards, since what is done for
the first time in a process takes longer: `--without` also runs processes without trials, in turn, and prints
how much sooner they end. On a machine with other work believe the processor time, that of all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from trained_questions import add_words, answer_all, in_child, requests_of, spec_of, tell_parent

from modeltest import registry
from modeltest.api import RunSpec
from modeltest.models.checkpoint import inspect_checkpoint

TRIAL_STEPS = ("plain_at_load", "plain_beyond", "objection", "end")
"""The methods of `ModelTrial` in which its passes are computed."""

_NO_TRIALS = "--no-trials"

CLOCKS: dict[str, Callable[[], float]] = {"clock": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of loading, of answering, and of the trials within both."""

    load_s: float
    answer_s: float
    trials_s: float

    @property
    def total_s(self) -> float:
        """Seconds of loading and answering."""
        return self.load_s + self.answer_s


@dataclass(slots=True)
class Meter:
    """Reads one clock, and adds up what passes while trials are under way."""

    read: Callable[[], float]
    marks: list[float]
    trials_s: float = 0.0
    depth: int = 0

    def times(self) -> Times:
        """Return what lies between the marks."""
        begun, loaded, done = self.marks
        return Times(loaded - begun, done - loaded, self.trials_s)


def one_process(spec: RunSpec, adapter: str, has_trials: bool) -> dict[str, Times]:
    """Load the model and answer; return what that took by each clock. Meant for a process of its own."""
    requests = requests_of(spec)
    engine = registry.load_engine(adapter)
    model = inspect_checkpoint(spec)
    meters = {name: Meter(read, []) for name, read in CLOCKS.items()}

    def mark() -> None:
        for meter in meters.values():
            meter.marks.append(meter.read())

    mark()
    with _watched(list(meters.values()), has_trials=has_trials):
        engine.load(spec, model)
        mark()
        answer_all(engine, requests)
        mark()
    return {name: meter.times() for name, meter in meters.items()}


@contextmanager
def _watched(meters: list[Meter], *, has_trials: bool) -> Iterator[None]:
    """Count the trials' time, or leave them out as if every way had been found right."""
    from engines.hf.beliefs.model_trial import ModelTrial

    before = {name: getattr(ModelTrial, name) for name in TRIAL_STEPS}
    for name, step in before.items():
        setattr(ModelTrial, name, _counted(step, meters) if has_trials else lambda *_: None)
    try:
        yield
    finally:
        for name, step in before.items():
            setattr(ModelTrial, name, step)


def _counted(step: Callable[..., Any], meters: list[Meter]) -> Callable[..., Any]:
    def counted(*given: Any) -> Any:
        begun = [meter.read() for meter in meters]
        for meter in meters:
            meter.depth += 1
        try:
            return step(*given)
        finally:
            for meter, begin in zip(meters, begun, strict=True):
                meter.depth -= 1
                if not meter.depth:  # a step within another is counted with it
                    meter.trials_s += meter.read() - begin

    return counted


def _in_a_process_of_its_own(*, has_trials: bool) -> dict[str, Times]:
    found = in_child(*([] if has_trials else [_NO_TRIALS]))
    return {clock: Times(**times) for clock, times in found.items()}


def _report(clock: str, rounds: list[Times], without: list[Times]) -> Iterator[str]:
    """Yield the lines of one clock: medians over rounds, and the least and most."""
    shares = [each.trials_s / each.total_s for each in rounds]
    yield f"{clock}: trials are {median(shares):.1%} ({min(shares):.1%} .. {max(shares):.1%})"
    for part in ("load_s", "answer_s", "trials_s"):
        yield f"{clock}: {part} {median(getattr(each, part) for each in rounds):.2f}"
    if without:
        whole, rest = (median(each.total_s for each in some) for some in (rounds, without))
        yield f"{clock}: without trials {rest:.2f} s instead of {whole:.2f} s, {1 - rest / whole:.1%} less"


def main() -> None:
    """Measure some rounds and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_words(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", action="store_true", help="also run processes without trials")
    parser.add_argument(_NO_TRIALS, action="store_true", dest="has_no_trials", help=argparse.SUPPRESS)
    words = parser.parse_args()
    spec = spec_of(words)
    if words.is_child:
        found = one_process(spec, words.engine, not words.has_no_trials)
        tell_parent({clock: asdict(times) for clock, times in found.items()})
        return
    kinds = (True, False) if words.without else (True,)
    rounds: dict[bool, list[dict[str, Times]]] = {True: [], False: []}
    for number in range(words.rounds):
        for has_trials in kinds if number % 2 == 0 else reversed(kinds):
            rounds[has_trials].append(_in_a_process_of_its_own(has_trials=has_trials))
        print(f"round {number + 1} of {words.rounds}: {rounds[True][-1]}", flush=True)
    for clock in CLOCKS:
        for line in _report(clock, *([each[clock] for each in rounds[has]] for has in (True, False))):
            print(line)


if __name__ == "__main__":
    main()
