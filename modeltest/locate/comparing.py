"""A prompt through reference, twin and candidate, each operation with the reference's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modeltest.api import EngineError
from modeltest.locate.evidence import Evidence, Gathering
from modeltest.locate.stations import Station
from modeltest.locate.tap import Changes, tapped

_WRITTEN_OUT = "eager"
"""What transformers calls attention by matrix products and a softmax of its own."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the reference computed at a place, in float32."""

    value: Any
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standard:
    """What a prompt's operations come to in the reference, and in its twin given the reference's values."""

    ids: tuple[int, ...]
    truth: Mapping[str, _Seen]
    twins: Sequence[Mapping[str, Any]]
    """One for each order of computation."""


def standard_of(ids: Sequence[int], *, reference: Any, twin: Any) -> Standard:
    """Feed a prompt to `reference`, in float32, and to `twin`, the same checkpoint in another dtype."""
    truth = _recorded(reference, ids)
    twins = [made_of(twin, ids, truth)[0], *_in_other_orders(twin, ids, truth)]
    return Standard(tuple(ids), truth, twins)


class Comparison:
    """What was seen of a candidate over prompts; of their activations nothing but sums is kept."""

    def __init__(self) -> None:
        self._gatherings: dict[str, Gathering] = {}

    def add(self, standard: Standard, candidate: Any) -> None:
        """Feed the prompt of `standard` to the candidate.

        Raises: EngineError where the candidate is another model than the reference.
        """
        made, stations = made_of(candidate, standard.ids, standard.truth)
        _refuse_other_model(standard.truth, made)
        self.add_made(standard, made, stations)

    def add_made(self, standard: Standard, made: Mapping[str, Any], stations: Mapping[str, Station]) -> None:
        """Add what the candidate made of the prompt of `standard`, as `made_of` told."""
        truth = standard.truth
        for name, value in made.items():
            orders = [twin[name] for twin in standard.twins if name in twin]
            if name not in truth or not orders:
                continue
            gathering = self._gatherings.setdefault(name, Gathering(stations[name]))
            seen = truth[name]
            gathering.add(seen.value, orders, value, seen.changes, _roundoff(value))

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what was seen, in the order of computation."""
        return tuple(each.evidence() for each in self._gatherings.values())


def _in_other_orders(twin: Any, ids: Sequence[int], truth: Mapping[str, _Seen]) -> Iterator[dict[str, Any]]:
    """Yield what the twin makes with attention written out: it rounds what the fused one does not."""
    before = getattr(twin.config, "_attn_implementation", None)
    if before is None or before == _WRITTEN_OUT:
        return
    twin.set_attn_implementation(_WRITTEN_OUT)
    try:
        yield made_of(twin, ids, truth)[0]
    finally:
        twin.set_attn_implementation(before)


def _recorded(model: Any, ids: Sequence[int]) -> dict[str, _Seen]:
    seen: dict[str, _Seen] = {}

    def see(station: Station, value: Any, changes: Changes) -> Any:
        known = {name: change().detach().cpu() for name, change in changes.items()}
        seen[station.name] = _Seen(value.detach().cpu().clone(), known)
        return value

    _pass(model, ids, see)
    return seen


def made_of(
    model: Any, ids: Sequence[int], truth: Mapping[str, _Seen]
) -> tuple[dict[str, Any], dict[str, Station]]:
    """Return what each operation makes of the reference's values, and where each is."""
    made: dict[str, Any] = {}
    stations: dict[str, Station] = {}

    def see(station: Station, value: Any, _: Changes) -> Any:
        made[station.name] = value.detach().cpu()
        stations[station.name] = station
        right = truth.get(station.name)
        if right is None or right.value.shape != value.shape:
            return value
        return right.value.to(device=value.device, dtype=value.dtype)

    _pass(model, ids, see)
    return made, stations


def _pass(model: Any, ids: Sequence[int], see: Any) -> None:
    import torch

    device = model.get_input_embeddings().weight.device
    with tapped(model, see), torch.inference_mode():
        model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False)


def _refuse_other_model(truth: Mapping[str, _Seen], made: Mapping[str, Any]) -> None:
    shared = truth.keys() & made.keys()
    other = next(
        (name for name in made if name in shared and truth[name].value.shape != made[name].shape), None
    )
    if other is not None:
        shapes = f"{tuple(made[other].shape)} and {tuple(truth[other].value.shape)}"
        raise EngineError(f"the model is another than the reference: {other} has the shapes {shapes}")
    if not any(name.endswith("out") and name.startswith("layer ") for name in shared):
        raise EngineError("the model has no layer in common with the reference")


def _roundoff(value: Any) -> float:
    """Return the largest relative error of one rounding to the dtype of `value`; 0 for whole numbers."""
    import torch

    return torch.finfo(value.dtype).eps / 2 if value.is_floating_point() else 0.0
