"""Judges the same answers to a reference pack in many orders: how often a port is accepted, after how much.

    python benchmarks/acceptance_orders.py ask --pack PACK --model DIR --engine hf --dtype bf16 --output DIR
    python benchmarks/acceptance_orders.py judge PACK RUN [...] --orders 20000 [--from SEED]

`ask` asks all questions and texts of the pack once; it takes the options of `modeltest accept`. `judge` draws
other orders from these answers, as `accept --seed` does, with no model. A line tells how many orders end in
each decision, the questions and texts asked (their median and what 95 % of the orders stay within), and the
seconds of the processor that an order took.

Orders share the answers: they tell what an order does, and nothing of other questions. Several processes of
`judge` with other `--from` add up; `--to` keeps every order as a line of JSON for that. `--without
query_scale:1.01` leaves a direction of the pack out, as that of a fault that is tried.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from statistics import median

import click

from modeltest.acceptance import judging as judging_module
from modeltest.acceptance.asking import PackScorer
from modeltest.acceptance.judging import Asked, Judging, drop_limits_of
from modeltest.acceptance.pack_answers import NAME as PACK_ANSWERS
from modeltest.api import Decision, Pack, PackAnswer, Role, RunSpec
from modeltest.options.accept import accept
from modeltest.packs.files import read_pack
from modeltest.run.planning.plan import plan
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.launch import launch
from modeltest.run.supervisor.progress import told
from modeltest.shifts.noise import Noise

MOST = 0.95
"""Of the orders: so many stay within the number that is told."""

HEADER = f"{'run':40} {'orders':>7}   ACCEPT   REJECT UNDECIDED  questions      texts  s/order"

Answers = Mapping[str, PackAnswer | None]
"""By question or text; `None` where it failed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A port, and all that it answered to a pack."""

    name: str
    dtype: str | None
    answers: Answers
    tells_tokens: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """How one order ended."""

    run: str
    seed: int
    decision: str
    questions: int
    texts: int


class RememberingNoise(Noise):
    """Values of a unit are the same in every order of one candidate's answers: they are computed once."""

    __slots__ = ("_known",)

    def __init__(self, noise: Noise) -> None:
        super().__init__(*(getattr(noise, each.name) for each in fields(noise)))
        object.__setattr__(self, "_known", {})

    def values(self, unit: str, told: Sequence[float]) -> dict[str, float]:
        """Return the value of every statistic of `unit`."""
        known: dict[str, dict[str, float]] = getattr(self, "_known")  # noqa: B009
        if unit not in known:
            known[unit] = super().values(unit, told)
        return known[unit]


def main() -> None:
    """Do what the command line asks."""
    command, *words = sys.argv[1:] or ["--help"]
    if command == "ask":
        print(ask(words))
    elif command == "judge":
        judge(words)
    elif command in ("-h", "--help"):
        print(__doc__)
    else:
        sys.exit(f"{command!r:.80} is neither ask nor judge; --help tells of both")


def ask(words: Sequence[str]) -> Path:
    """Ask a whole pack what `words` of `modeltest accept` say; return the run directory."""
    try:
        context = accept.make_context("ask", list(words))
    except click.exceptions.Exit as end:  # --help was shown
        sys.exit(end.exit_code)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    with context:
        spec: RunSpec = accept.callback(**context.params)  # type: ignore[misc]
    planned = plan(replace(spec, mode=PACK_ANSWERS, task=PACK_ANSWERS))
    return launch(planned, command=None, progress=told(is_told=True)).directory


def judge(words: Sequence[str]) -> None:
    """Judge the runs that `words` name, and print a line for each."""
    options = _options(words)
    # Prompts as text are all asked first, in any order: these runs have none.
    pack = replace(without(read_pack(options.pack), options.without), wordings=())
    seeds = range(options.first, options.first + options.orders)
    print(HEADER)
    for directory in options.runs:
        begin = time.process_time()
        found = list(judged(pack, candidate_of(pack, directory), seeds, max_drop=options.max_drop))
        print(line_of(directory.name, found, (time.process_time() - begin) / len(found)), flush=True)
        if options.to:
            with options.to.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(each)) + "\n" for each in found)


def without(pack: Pack, directions: Sequence[str]) -> Pack:
    """Return the pack without the directions of these faults; `all` is all of them."""
    has = {each.fault for each in pack.of_role(Role.DIRECTION)}
    if unknown := sorted(set(directions) - {"all", *filter(None, has)}):
        sys.exit(f"the pack has no direction {unknown[0]!r}; it has: {', '.join(sorted(filter(None, has)))}")
    kept = tuple(
        each
        for each in pack.manifest.computations
        if each.role is not Role.DIRECTION or not {"all", each.fault} & set(directions)
    )
    return replace(pack, manifest=replace(pack.manifest, computations=kept))


def candidate_of(pack: Pack, directory: Path) -> Candidate:
    """Return what the run in `directory` answered; end where it was not asked all of the pack."""
    result, scorer = read_result(directory), PackScorer(pack)
    answers = {sample.score.request_id: scorer.answer(sample) for sample in result.samples}
    texts = {text.id for text in pack.texts}
    tells = not texts.isdisjoint(answers)
    wanted = {question.id for question in pack.questions} | (texts if tells else set())
    if missing := sorted(wanted - answers.keys()):
        sys.exit(
            f"{directory} has no answer to {len(missing)} questions and texts of the pack, such as "
            f"{missing[0]}: an accept that has decided asks no more; use a run of `ask`"
        )
    return Candidate(directory.name, result.spec.dtype, answers, tells)


def judged(
    pack: Pack, candidate: Candidate, seeds: Sequence[int], *, max_drop: float | None = None
) -> Iterator[Judged]:
    """Yield how each order of the seeds ends."""
    drop = drop_limits_of(pack, max_drop)
    with_same = judging_of(pack)
    for seed in seeds:
        asked = Asked(seed, drop, candidate.tells_tokens, candidate.dtype)
        judging = with_same(asked)
        while window := judging.window():
            judging.take([(unit, candidate.answers[unit.id]) for unit in window])
        decision = judging.decision or Decision.UNDECIDED
        if decision is Decision.ACCEPT and judging.tokens is None:
            decision = Decision.UNDECIDED  # as `accept` says without --answers-alone
        yield Judged(candidate.name, seed, decision.value, judging.questions, judging.texts)


def judging_of(pack: Pack) -> Callable[[Asked], Judging]:
    """Return what makes a `Judging` of the pack; its noise and cut are the same in every order.

    Values are remembered, so it is for the answers of one candidate.
    """
    noise_of, cut_of = judging_module.noise_of, judging_module.cut_of

    @cache
    def noise(units: tuple[str, ...], dtype: str | None, has_positions: bool) -> Noise | None:
        found = noise_of(pack, units, dtype, has_positions=has_positions)
        return None if found is None else RememberingNoise(found)

    @cache
    def cut() -> float:
        return cut_of(pack)

    def made(asked: Asked) -> Judging:
        judging_module.noise_of = lambda _, units, dtype, *, has_positions: noise(
            tuple(units), dtype, has_positions
        )
        judging_module.cut_of = lambda _: cut()
        try:
            return Judging(pack, asked)
        finally:
            judging_module.noise_of, judging_module.cut_of = noise_of, cut_of

    return made


def line_of(name: str, found: Sequence[Judged], seconds: float) -> str:
    """Return the line of a run."""
    counts = Counter(each.decision for each in found)
    shares = [f"{counts[decision.value] / len(found):.2%}" for decision in Decision]
    questions = spread([each.questions for each in found])
    texts = spread([each.texts for each in found])
    accepted, rejected, undecided = shares
    decisions = f"{accepted:>8} {rejected:>8} {undecided:>9}"
    return f"{name:40.40} {len(found):>7} {decisions}  {questions:>9}  {texts:>9}   {seconds:.4f}"


def spread(numbers: Sequence[int]) -> str:
    """Return the median, and the number that `MOST` of them stay within."""
    ascending = sorted(numbers)
    within = ascending[-(-int(MOST * 1000) * len(ascending) // 1000) - 1]
    return f"{median(ascending):g} {within}"


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="acceptance_orders.py judge")
    parser.add_argument("pack", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directories of `ask`")
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED")
    parser.add_argument("--max-drop", type=float, default=None, help="a fraction; else as `accept` has it")
    parser.add_argument("--without", action="append", default=[], metavar="NAME:STRENGTH", help="or all")
    parser.add_argument("--to", type=Path, default=None, help="add a line of JSON for each order")
    options = parser.parse_args(list(words))
    if options.orders < 1:
        parser.error("--orders is 1 or more")
    return options


if __name__ == "__main__":
    main()
