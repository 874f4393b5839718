"""From what was seen at each place to the first layer and operation that departs; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modeltest.locate.evidence import Evidence, Slope

MOST_EXCESS = 2.0
"""An error this many times that of the dtype is no other order of computation: measured, those reach 1.2."""

MOST_PEAK = 6.0
"""A single error this many times the largest of the dtype is none of rounding: measured, those reach 2."""

LEAST_SIGNIFICANCE = 8.0
LEAST_SHARE = 0.1
"""A deviation with a direction departs where it is this certain, and this large beside the dtype's error."""

EXPLAINS = 0.7
"""Of a deviation: a known change that is at least so much of it is told as what it is."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A place where a candidate computes something else than the reference."""

    place: str
    """`layer 12`, or what is before or behind the layers."""

    layer: int | None
    operation: str
    station: str
    excess: float
    """The candidate's error over the dtype's own."""

    change: str | None
    """The known change that explains it best, `size` or another; `None` where none is certain."""

    coefficient: float | None
    """How much of it, as a fraction."""

    significance: float | None

    peak: float
    """The candidate's largest single error over the dtype's."""

    weights_off: int
    """How many weights of the operation are no rounding of the reference's."""


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """The evidence of one layer, or of one operation outside the layers."""

    place: str
    operation: str
    """Whose error is largest beside the dtype's."""

    excess: float
    departs: bool


@dataclass(frozen=True, slots=True)
class Located:
    """What `locate` came to."""

    answer: str
    departs: bool
    departures: tuple[Departure, ...]
    """In the order of computation: the first is the answer."""

    rows: tuple[PlaceRow, ...]
    prompts: int
    tokens: int
    dtype: str
    reference: str
    reference_fingerprint: str | None
    layers: int


def departures_in(evidence: Sequence[Evidence], weights_off: Mapping[str, int]) -> Iterator[Departure]:
    """Yield the places that depart, in the order of `evidence`, which is that of computation.

    `weights_off` has the number of weights that are none of the reference's, by the name of their module.
    """
    for each in evidence:
        certain = [slope for slope in each.slopes if _is_certain(slope)]
        path, _, side = each.station.name.partition(" ")
        off = weights_off.get(path, 0) if side.startswith("out") else 0
        if each.excess < MOST_EXCESS and each.peak < MOST_PEAK and not certain and not off:
            continue
        is_found_by_size = each.excess >= MOST_EXCESS
        best = max(certain, key=lambda slope: slope.share, default=None)
        if best is not None and is_found_by_size and best.share < EXPLAINS * each.excess:
            best = None
        yield Departure(
            place=place_of(each),
            layer=each.station.layer,
            operation=each.station.part.value,
            station=each.station.name,
            excess=each.excess,
            change=best.change if best else None,
            coefficient=best.coefficient if best else None,
            significance=best.significance if best else None,
            peak=each.peak,
            weights_off=off,
        )


def rows_of(evidence: Sequence[Evidence], departures: Sequence[Departure]) -> tuple[PlaceRow, ...]:
    """Return one row for each layer and for each operation outside them, in the order of computation."""
    departed = {each.place for each in departures}
    worst: dict[str, Evidence] = {}
    for each in evidence:
        place = place_of(each)
        if place not in worst or each.excess > worst[place].excess:
            worst[place] = each
    return tuple(
        PlaceRow(place, one.station.part.value, one.excess, place in departed) for place, one in worst.items()
    )


def answer_of(departures: Sequence[Departure], layers: int) -> str:
    """Return the answer in a sentence."""
    if not departures:
        return "no layer departs: all are within rounding"
    first = departures[0]
    text = first.operation if first.layer is None else f"{first.place}, {first.operation}"
    return "; ".join((text + _amount(first), *_further(departures, layers)))


def place_of(evidence: Evidence) -> str:
    """Return `layer N`, counted from 0, or the operation outside the layers."""
    station = evidence.station
    return station.part.value if station.layer is None else f"layer {station.layer}"


def _is_certain(slope: Slope) -> bool:
    return abs(slope.significance) >= LEAST_SIGNIFICANCE and slope.share >= LEAST_SHARE


def _amount(departure: Departure) -> str:
    size = f"error {departure.excess:.3g} times the dtype's own"
    if departure.excess < MOST_EXCESS and departure.peak >= MOST_PEAK:
        size += f", in single values {departure.peak:.3g} times"
    if departure.weights_off:
        size += f"; {departure.weights_off} weights are no rounding of the reference's"
    if departure.change is not None and departure.coefficient is not None:
        size += f"; {departure.change} {departure.coefficient:+.2%}"
    return f" ({size})"


def _further(departures: Sequence[Departure], layers: int) -> Iterator[str]:
    first = departures[0]
    here = {each.operation for each in departures if each.place == first.place} - {first.operation}
    if here:
        yield f"also there: {', '.join(sorted(here))}"
    others = {each.layer for each in departures if each.layer is not None} - {first.layer}
    if others:
        yield f"{len(others)} further of {layers} layers depart too"


def markdown_of(located: Located) -> str:
    """Return answer and evidence as Markdown."""
    lines = [
        "# Where the candidate departs",
        located.answer,
        "",
        f"{located.prompts} prompts, {located.tokens} tokens, {located.dtype}; "
        f"reference {located.reference}.",
        "",
        "| place | largest error at | times the dtype's own | departs |",
        "|---|---|---|---|",
        *(
            f"| {row.place} | {row.operation} | {row.excess:.2f} | {'yes' if row.departs else ''} |"
            for row in located.rows
        ),
    ]
    if located.departures:
        lines += ["", "| departs | operation | at | times | weights off | known change | by |"]
        lines += ["|---|---|---|---|---|---|---|", *map(_departure_line, located.departures)]
    return "\n".join(lines) + "\n"


def _departure_line(each: Departure) -> str:
    amount = "" if each.coefficient is None else f"{each.coefficient:+.2%}"
    cells = (each.place, each.operation, f"`{each.station}`", f"{each.excess:.2f}", each.weights_off or "")
    return f"| {' | '.join(map(str, cells))} | {each.change or ''} | {amount} |"
