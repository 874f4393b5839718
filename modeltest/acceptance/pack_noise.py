"""What rounding does to the units of a reference pack, as its twins show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeltest.api import Pack, PackAnswer, Role
from modeltest.shifts.noise import Logprobs, Noise, fit_noise


def noise_of(pack: Pack, units: Sequence[str], dtype: str | None, *, has_positions: bool) -> Noise | None:
    """Return what the twins in `dtype` show of `units`, else what all show; `None` where it is too little.

    `units` are the ids of texts, or of questions whose choices have log-probabilities, which have no
    positions.
    """
    reference = {unit: pack.reference[unit].logprobs for unit in units if pack.reference[unit].logprobs}
    twins = pack.of_role(Role.TWIN)
    chosen = [each.name for each in twins if each.dtype == dtype] or [each.name for each in twins]
    directions = {
        each.fault or each.name: _told(pack.answers[each.name], reference)
        for each in pack.of_role(Role.DIRECTION)
    }
    told = {name: _told(pack.answers[name], reference) for name in chosen}
    return fit_noise(reference, told, directions, has_positions=has_positions)


def _told(answers: Mapping[str, PackAnswer], reference: Logprobs) -> dict[str, Sequence[float]]:
    return {name: answers[name].logprobs for name in reference if name in answers and answers[name].logprobs}
