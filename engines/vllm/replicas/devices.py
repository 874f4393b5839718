"""Which devices each replica sees, so that it finds its own and no other's. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modeltest.api import PrerequisiteError

VISIBLE_VARIABLES: Mapping[str, str] = {"cuda": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}
"""By device, what says which of them a process sees: read once, when the process touches the first one."""

_NAMES = {"cuda": re.compile(r"\d+|(GPU|MIG)-[\w/-]+"), "npu": re.compile(r"\d+")}


def shared_out(
    device: str, environment: Mapping[str, str], *, replicas: int, split: int
) -> list[dict[str, str]]:
    """Return the variables of each replica: `split` devices of those that this process sees, in their order.

    On the cpu there is nothing to share out.

    Raises: PrerequisiteError where fewer are seen, or by names that cannot be told apart.
    """
    if device not in VISIBLE_VARIABLES:
        return [{} for _ in range(replicas)]
    variable, needed = VISIBLE_VARIABLES[device], replicas * split
    seen = environment.get(variable)
    names = list(map(str, range(needed))) if seen is None else _names(device, variable, seen)
    if len(names) < needed:
        raise PrerequisiteError(
            f"{replicas} replicas over {split} ranks each need {needed} {device} devices, {variable}={seen} "
            f"shows {len(names)}: ask for at most {len(names)}"
        )
    return [{variable: ",".join(names[at : at + split])} for at in range(0, needed, split)]


def refuse_missing(device: str, present: int, needed: int) -> None:
    """Refuse more ranks than there are devices.

    Raises: PrerequisiteError.
    """
    if present < needed:
        raise PrerequisiteError(
            f"{needed} ranks need {needed} {device} devices, {present} can be used here: ask for at most "
            f"{present}"
        )


def _names(device: str, variable: str, seen: str) -> list[str]:
    names = [name.strip() for name in seen.split(",") if name.strip()]
    wrong = [name for name in names if not _NAMES[device].fullmatch(name)]
    if wrong or len(set(names)) < len(names):
        raise PrerequisiteError(
            f"{variable}={seen} cannot be shared out to replicas: name each device once, as in {variable}=0,1"
        )
    return names
