"""Tells which faults of the catalogue `accept` rejects by the texts of a pack, and how weak they may be.

    python benchmarks/acceptance_faults.py ask PACK NAME=DIRECTORY --to found.jsonl [--orders 20] [--ladder]
    python benchmarks/acceptance_faults.py tell found.jsonl [...] [--share 0.95]

NAME is a model of `modeltest/demo/faults/catalogue.toml`, DIRECTORY its checkpoint, PACK a reference pack of
it. The model is loaded once, in `--dtype`, behind the engine `faulty`, and each fault is put into it in turn.
In each order the texts are drawn anew, as `accept --seed` does, until the fault is rejected or `--tokens`
have been told. Then `--questions` are asked too, where the texts did not show the fault.

With `--ladder` a fault is tried at its own strength first, then weaker from step to step, until it is found
in less than half of the orders. `--without NAME:STRENGTH` leaves a direction of the pack out; those that do
the same as a fault that is tried (`ALIKE`) always are. A line of JSON is added for each fault and strength,
and those that are there already are not asked again.

`tell` prints the tables of `docs/faults.md`: how many faults are found in `--share` of the orders, which are
not, and the weakest strength that is. Faults without effect on a model are left out, by their size in
`--effects` and not by any verdict.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import median

from acceptance_orders import judging_of, without

from modeltest.acceptance.asking import PackScorer, Unit, request_of
from modeltest.acceptance.judging import Asked, Judging, drop_limits_of
from modeltest.acceptance.pack_answers import NAME as PACK_ANSWERS
from modeltest.api import (
    Decision,
    Pack,
    PackAnswer,
    PackOptions,
    PackText,
    PackWording,
    Role,
    RunSpec,
    Sample,
    TaskOptions,
)
from modeltest.demo.faults.applying import PATCHES, patch_of
from modeltest.demo.faults.catalogue import Fault, Where, catalogue
from modeltest.demo.faults.engine import FaultyEngine
from modeltest.packs.files import read_pack
from modeltest.run.planning.plan import plan
from modeltest.run.worker.accuracy import checked

BATCH_SIZE = 8
EFFECTS = Path(__file__).parent / "faults" / "effects.json"
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}

ALIKE: Mapping[str, tuple[str, ...]] = {
    "attention_scale": ("query_scale",),
    "residual_scale": ("feed_forward_scale", "value_scale"),
}
"""Faults that a direction repeats under another name: what is shown of them is shown without it."""

SHOWS_IN_TEXTS_ONLY_WHEN_GENERATED = frozenset({"stop_token_missed", "wrong_stop_token", "sampling_left_on"})
"""They change no token that is forced and no choice: a pack of these cannot show them."""


@dataclass(frozen=True, slots=True)
class Found:
    """How the orders with one fault ended."""

    model: str
    fault: str
    strength: float
    held_out: bool
    orders: int
    by_texts: int
    """Orders that ended in REJECT by texts alone, within the tokens."""

    rejected: int
    """The same, or by questions after them."""

    tokens: float | None
    """The median that was told where texts rejected."""

    questions: float | None
    """The median that was asked where questions rejected."""

    @property
    def key(self) -> tuple[str, str, float]:
        """What was tried."""
        return self.model, self.fault, self.strength


class Bench:
    """A model with one fault after another, asked by a pack."""

    def __init__(self, pack: Pack, spec: RunSpec, first: str) -> None:
        """Load the model with the fault `first`."""
        planned = plan(replace(spec, engine_options={"fault": first}))
        self.engine = FaultyEngine()
        self.engine.check(planned.spec, planned.model)
        self.engine.load(planned.spec, planned.model)
        self._pack = pack
        self._scorer = PackScorer(pack)
        self._answers: dict[str, PackAnswer | None] = {}

    def put_in(self, fault: Fault, strength: float) -> None:
        """Exchange the fault; what was answered before counts no more."""
        self.engine.exchange(f"{fault.name}:{strength!r}")
        self._answers = {}

    def answers(self, window: Sequence[Unit]) -> list[tuple[Unit, PackAnswer | None]]:
        """Return the answers to a window, asking what was not asked yet."""
        missing = [request_of(unit) for unit in window if unit.id not in self._answers]
        for batch in self.engine.complete(missing, batch_size=BATCH_SIZE):
            for completion in map(checked, batch):
                sample = Sample(self._scorer.score(completion), completion, "")
                self._answers[completion.request_id] = self._scorer.answer(sample)
        return [(unit, self._answers[unit.id]) for unit in window]


def main() -> None:
    """Do what the command line asks."""
    options = _options()
    if options.command == "ask":
        ask(options)
    else:
        tell(options)


def ask(options: argparse.Namespace) -> None:
    """Try all faults of a model, and add what was found to the file."""
    name, _, directory = options.model.partition("=")
    if name not in catalogue().models or not directory:
        sys.exit(f"{options.model!r}: give NAME=DIRECTORY with a NAME of {', '.join(catalogue().models)}")
    pack = without(read_pack(options.pack), options.without)
    known = {each.key for each in read(options.to)} if options.to.exists() else set()
    faults = faults_of(name, options.fault)
    spec = spec_of(options.pack, directory, options.dtype)
    bench = Bench(pack, spec, f"{faults[0].name}:{faults[0].strength!r}")
    for fault in faults:
        for strength in steps(fault) if options.ladder else (fault.strength,):
            if (name, fault.name, strength) in known:
                continue
            found = tried(bench, unlike(pack, fault), name, fault, strength, options)
            print(line_of(found), flush=True)
            with options.to.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(found)) + "\n")
            if found.by_texts < found.orders / 2:
                break


def faults_of(model: str, only: Sequence[str]) -> list[Fault]:
    """Return the faults of a model that a pack can show; those that need plain rows last, as rows stay so."""
    chosen = [catalogue().named(each) for each in only] or catalogue().faults.values()
    found = [
        each
        for each in chosen
        if model in each.models and each.name not in SHOWS_IN_TEXTS_ONLY_WHEN_GENERATED
    ]
    if not found:
        sys.exit(f"{model} has none of these faults")
    return sorted(found, key=lambda each: each.name in PATCHES and patch_of(each.name).needs_own_attention)


def steps(fault: Fault) -> list[float]:
    """Return the fault's own strength and the weaker ones, from strong to weak."""
    return list(reversed(fault.ladder[: fault.ladder.index(fault.strength) + 1]))


def spec_of(pack: Path, directory: str, dtype: str) -> RunSpec:
    """Return a run of the pack on the engine `faulty`."""
    return RunSpec(
        engine=FaultyEngine.name,
        mode=PACK_ANSWERS,
        task=PACK_ANSWERS,
        model="auto",
        weights=directory,
        dtype=DTYPES[dtype],
        allow_dtype_cast=True,
        batch_sizes=((BATCH_SIZE,),),
        options=TaskOptions(pack=PackOptions(str(pack))),
    )


def unlike(pack: Pack, fault: Fault) -> Pack:
    """Return the pack without the directions that are the fault under another name."""
    alike = ALIKE.get(fault.name, ())
    names = [each.fault for each in pack.of_role(Role.DIRECTION) if (each.fault or "").split(":")[0] in alike]
    return without(pack, [each for each in names if each])


def tried(
    bench: Bench, pack: Pack, model: str, fault: Fault, strength: float, options: argparse.Namespace
) -> Found:
    """Judge a fault in several orders."""
    bench.put_in(fault, strength)
    made = judging_of(pack)
    tokens: list[int] = []
    questions: list[int] = []
    for seed in range(options.first, options.first + options.orders):
        judging = made(Asked(seed, drop_limits_of(pack), tells_tokens=True, dtype=DTYPES[options.dtype]))
        asked = ask_until_rejected(bench, judging, options.tokens, options.questions)
        if judging.decision is Decision.REJECT:
            (tokens if asked == 0 else questions).append(asked or judging.scored_tokens)
    return Found(
        model,
        fault.name,
        strength,
        fault.held_out,
        options.orders,
        len(tokens),
        len(tokens) + len(questions),
        median(tokens) if tokens else None,
        median(questions) if questions else None,
    )


def ask_until_rejected(bench: Bench, judging: Judging, tokens: int, questions: int) -> int:
    """Ask texts up to `tokens`, then questions; return how many questions, 0 where texts decided."""
    later: list[Unit] = []
    while judging.questions == 0 and (window := judging.window()):
        if isinstance(window[0], PackWording):
            judging.take(bench.answers(window))
            continue
        later += [unit for unit in window if not isinstance(unit, PackText)]
        texts = list(within(window, tokens - judging.scored_tokens))
        if not texts:
            break
        judging.take(bench.answers(texts))
    if judging.decision is None:
        judging.take(bench.answers(later[:questions]))
    return judging.questions


def within(window: Sequence[Unit], tokens: int) -> Iterator[PackText]:
    """Yield the texts of a window, in its order, as long as their tokens are not more."""
    for unit in window:
        if isinstance(unit, PackText):
            tokens -= len(unit.ids)
            if tokens < 0:
                return
            yield unit


def read(path: Path) -> list[Found]:
    """Return what is in a file of `ask`."""
    return [Found(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def line_of(found: Found) -> str:
    """Return a line for a person."""
    held = "held out" if found.held_out else ""
    return (
        f"{found.model:9} {found.fault:28} {found.strength:>9g}  by texts {found.by_texts:>3} of "
        f"{found.orders} ({_number(found.tokens)} tokens), in all {found.rejected} "
        f"({_number(found.questions)} questions) {held}"
    )


def tell(options: argparse.Namespace) -> None:
    """Print the tables of what was found."""
    found = sorted((each for path in options.files for each in read(path)), key=lambda each: each.key[:2])
    sizes = read_sizes(options.effects)
    groups = {key: list(group) for key, group in groupby(found, key=lambda each: each.key[:2])}
    for head, rows in (
        (COUNTS, counts_of(groups, sizes, options.share)),
        (MISSED, missed_of(groups, sizes, options.share)),
        (WEAKEST, (row_of(*key, group, options.share) for key, group in groups.items())),
    ):
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for row in rows:
            print(f"| {' | '.join(row)} |")
        print()


COUNTS = ("model", "faults with an effect", "found by texts", "held out, found by texts", "or by questions")
MISSED = ("model", "fault", "held out", "strength", "its shift / that of rounding", "found")
WEAKEST = ("model", "fault", "held out", "own", "found at own, median tokens", "weakest found")
Groups = Mapping[tuple[str, str], Sequence[Found]]
Sizes = Mapping[tuple[str, str], float]


def read_sizes(path: Path) -> Sizes:
    """Return the mean shift of each fault at its own strength, by model and fault, over that of bfloat16.

    A fault without effect is left out.
    """
    effects = json.loads(path.read_text(encoding="utf-8"))["effects"]
    rounding = {each["model"]: each["mean_absolute"] for each in effects if each["fault"] == "bfloat16"}
    return {
        (each["model"], each["fault"]): each["mean_absolute"] / rounding[each["model"]]
        for each in effects
        if each["has_effect"]
    }


def counts_of(groups: Groups, sizes: Sizes, share: float) -> Iterator[tuple[str, ...]]:
    """Yield a row for each model: how many faults are found at their own strength."""
    for model in dict.fromkeys(model for model, _ in groups):
        own = [_own(key[1], groups[key]) for key in groups if key[0] == model]
        tried = [each for each in own if each and has_effect(each, sizes)]
        held = [each for each in tried if each.held_out]
        yield (
            model,
            str(len(tried)),
            f"{sum(is_found(each, share) for each in tried)}",
            f"{sum(is_found(each, share) for each in held)} of {len(held)}",
            f"{sum(each.rejected >= share * each.orders for each in tried)}",
        )


def missed_of(groups: Groups, sizes: Sizes, share: float) -> Iterator[tuple[str, ...]]:
    """Yield a row for each fault with an effect that neither texts nor questions show at its own strength."""
    for key, group in groups.items():
        own = _own(key[1], group)
        if own and has_effect(own, sizes) and own.rejected < share * own.orders:
            size = sizes.get(key)
            times = "no forced token" if size is None else f"{size:.2f}"
            held = "yes" if own.held_out else ""
            yield (
                own.model,
                f"`{own.fault}`",
                held,
                f"{own.strength:g}",
                times,
                f"{own.rejected} of {own.orders}",
            )


def _own(fault: str, group: Sequence[Found]) -> Found | None:
    return next((each for each in group if each.strength == catalogue().named(fault).strength), None)


def has_effect(found: Found, sizes: Sizes) -> bool:
    """Say whether the fault does anything; those that change no forced token are known by no size."""
    return found.key[:2] in sizes or catalogue().named(found.fault).where is Where.ANSWERS


def is_found(found: Found, share: float) -> bool:
    """Say whether texts show the fault in enough of the orders."""
    return found.by_texts >= share * found.orders


def row_of(model: str, name: str, found: Sequence[Found], share: float) -> tuple[str, ...]:
    """Return the row of a fault on a model."""
    fault, own = catalogue().named(name), _own(name, found)
    order = {strength: place for place, strength in enumerate(fault.ladder)}
    enough = (each for each in found if is_found(each, share))
    weakest = min(enough, key=lambda each: order.get(each.strength, len(order)), default=None)
    return (
        model,
        f"`{name}`",
        "yes" if fault.held_out else "",
        f"{fault.strength:g}",
        "" if own is None else f"{own.by_texts} of {own.orders}, {_number(own.tokens)}",
        "none" if weakest is None else f"{weakest.strength:g}",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("pack", type=Path)
    asking.add_argument("model", metavar="NAME=DIRECTORY")
    asking.add_argument(
        "--to", type=Path, required=True, help="add a line of JSON for each fault and strength"
    )
    asking.add_argument("--orders", type=int, default=20)
    asking.add_argument("--from", dest="first", type=int, default=0, metavar="SEED")
    asking.add_argument("--tokens", type=int, default=3000, help="that are told at most")
    asking.add_argument("--questions", type=int, default=0, help="that are asked at most, after the texts")
    asking.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    asking.add_argument("--ladder", action="store_true", help="weaker strengths too")
    asking.add_argument("--fault", action="append", default=[], metavar="NAME", help="these alone")
    asking.add_argument("--without", action="append", default=[], metavar="NAME:STRENGTH", help="or all")
    telling = commands.add_parser("tell")
    telling.add_argument("files", type=Path, nargs="+")
    telling.add_argument("--share", type=float, default=0.95)
    telling.add_argument("--effects", type=Path, default=EFFECTS, help="of benchmarks/fault_effects.py")
    return parser.parse_args()


if __name__ == "__main__":
    main()
