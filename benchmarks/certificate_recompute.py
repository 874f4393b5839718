"""Counts how often `certificate verify --recompute` finds forged answers, and honest ones.

    python benchmarks/certificate_recompute.py PACK --certified RUN [...] --again RUN [...]
        [--forge 0.05] [--draws 200] [--count 90] [--seed 0] [--only texts|questions]

Each RUN is of `acceptance_orders.py ask`: one port's answers to everything in PACK. Every certified run is
held against every other that was asked again, in as many draws. A line tells in how many draws the two
differ, and how far the farthest single answer was, in limits. So honest runs show false alarms, and a faulty
run as the certified one shows what is found.

With `--forge` a share of the certified answers is forged, other ones in each draw: of a question the
log-probabilities of the first and the last choice are exchanged, of a text every other token is 0.5 nats off.
Then the line also tells how many of the draws had a forged answer among them: more cannot be found.

All draws of a pair share its answers. They tell what the draw does, and nothing of other questions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from random import Random

from acceptance_orders import candidate_of

from modeltest.acceptance.asking import PackScorer
from modeltest.api import Completion, Pack, PackAnswer, Sample
from modeltest.certificate.asking_again import check_again, closeness_of, drawn
from modeltest.certificate.checks import State
from modeltest.packs.files import read_pack

OFF = 0.5
"""Nats by which every other token of a forged text is moved."""

Answers = Mapping[str, PackAnswer | None]


@dataclass(frozen=True, slots=True)
class Counted:
    """What all draws of one pair of runs gave."""

    draws: int
    differing: int
    with_forged: int
    farthest: float
    """Of the honest answers, in limits: how far the farthest single one is from that asked again."""

    def line(self, certified: str, again: str) -> str:
        """Return it for a person."""
        forged = f", {self.with_forged} of them had a forged one" if self.with_forged else ""
        return (
            f"{certified} | {again}: {self.differing} of {self.draws} draws differ{forged}; "
            f"the farthest answer is at {self.farthest:.2f} of the limit"
        )


def main() -> None:
    """Do what the command line asks."""
    options = _options()
    pack = read_pack(options.pack)
    runs = {path: candidate_of(pack, path) for path in {*options.certified, *options.again}}
    dtypes = {each.dtype for each in runs.values()}
    if len(dtypes) > 1:
        sys.exit(f"the runs are of {len(dtypes)} dtypes; a port is asked again in its own")
    for certified in options.certified:
        for again in options.again:
            if certified != again:
                found = counted(
                    pack, runs[certified].answers, runs[again].answers, dtypes.copy().pop(), options
                )
                print(found.line(certified.name, again.name), flush=True)


def counted(
    pack: Pack, certified: Answers, again: Answers, dtype: str | None, options: argparse.Namespace
) -> Counted:
    """Hold two computations against each other in many draws."""
    ids = list(_ids(pack, options.only))
    differing = with_forged = 0
    for seed in range(options.seed, options.seed + options.draws):
        names = drawn(ids, options.count, seed)
        lies = forged(pack, certified, ids, share=options.forge, seed=seed) if options.forge else {}
        then = {name: lies.get(name, certified[name]) for name in ids}
        check = check_again(pack, then, {name: again[name] for name in names}, dtype=dtype, told="drawn")
        differing += check.state is State.DIFFERS
        with_forged += not lies.keys().isdisjoint(names)
    ratios = [*_ratios(pack, certified, again, ids, dtype)]
    return Counted(options.draws, differing, with_forged, max(ratios, default=0.0))


def forged(
    pack: Pack, answers: Answers, ids: Sequence[str], *, share: float, seed: int
) -> dict[str, PackAnswer]:
    """Return other answers to a share of `ids`, as many as round up to it."""
    scorer, questions = PackScorer(pack), {each.id: each for each in pack.questions}
    lies = {}
    for name in Random(seed).sample(ids, ceil(share * len(ids))):
        answer = answers[name]
        if answer is None or not answer.logprobs:
            continue
        told = list(answer.logprobs)
        if name not in questions:
            moved = tuple(each - OFF * (at % 2) for at, each in enumerate(told))
            lies[name] = replace(answer, logprobs=moved)
            continue
        told[0], told[-1] = told[-1], told[0]
        completion = Completion(name, choice_logprobs=tuple(told))
        scored = scorer.answer(Sample(scorer.score(completion), completion, ""))
        if scored is not None:
            lies[name] = scored
    return lies


def _ids(pack: Pack, only: str | None) -> Iterator[str]:
    if only != "texts":
        yield from (each.id for each in pack.questions)
    if only != "questions":
        yield from (each.id for each in pack.texts)


def _ratios(
    pack: Pack, one: Answers, other: Answers, ids: Sequence[str], dtype: str | None
) -> Iterator[float]:
    kinds = (([each.id for each in pack.questions], False), ([each.id for each in pack.texts], True))
    for units, has_positions in kinds:
        close = closeness_of(pack, units, dtype, has_positions=has_positions)
        if close is None:
            continue
        for name in set(units) & set(ids):
            here, there = one[name], other[name]
            if here is not None and there is not None and here.logprobs:
                yield close.ratio(name, here.logprobs, there.logprobs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", type=Path)
    parser.add_argument("--certified", type=Path, nargs="+", required=True)
    parser.add_argument("--again", type=Path, nargs="+", required=True)
    parser.add_argument("--forge", type=float, default=0.0)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--count", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("texts", "questions"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
