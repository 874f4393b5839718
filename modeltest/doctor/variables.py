"""What becomes of the environment variables that MindIE's documents name; the data is `variables.toml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from functools import cache
from pathlib import Path

from modeltest.doctor.finding import Finding, State
from modeltest.plain.toml_file import read_toml


class Fate(str, Enum):
    """What a run on MindIE's runners does with a variable; `variables.toml` says what each means."""

    SET = "set"
    DEFAULT = "default"
    PROFILE = "profile"
    READ = "read"
    CHECKED = "checked"
    PASSED = "passed"
    BREAKS = "breaks"
    IGNORED = "ignored"
    OBSOLETE = "obsolete"


NAME = "variables"


@cache
def fates() -> dict[str, Fate]:
    """Return the fate of every variable known, in the order of the documents."""
    book = read_toml(Path(__file__).with_name("variables.toml"))
    return {name: Fate(fate) for group in book.values() for name, fate in group.items()}


def check_variables(environment: Mapping[str, str], *, profile: Mapping[str, str]) -> Finding:
    """Name the variables that are set and have no effect here.

    `profile` is what the profile of the checkpoint sets; empty when none was named.
    """
    if breaking := _named(environment, {Fate.BREAKS}):
        return Finding(
            NAME,
            State.WRONG,
            f"MindIE does not import with {' '.join(breaking)}",
            f"unset {' '.join(breaking)}",
        )
    said, mends = [], []
    if vain := _named(environment, {Fate.IGNORED, Fate.OBSOLETE}):
        said.append(f"without effect here: {', '.join(vain)}")
        mends.append(f"unset {' '.join(vain)}")
    replaced = {name: value for name, value in profile.items() if environment.get(name, value) != value}
    if replaced:
        pairs = [f"{name}={environment[name]} by {value}" for name, value in replaced.items()]
        said.append(f"the model's profile replaces {', '.join(pairs)}")
        mends.append(f"to keep yours: --engine-option keep={'+'.join(replaced)}")
    if not said:
        return Finding(NAME, State.OK, "none is set that has no effect here")
    return Finding(NAME, State.WARNING, "; ".join(said), "; ".join(mends))


def _named(environment: Mapping[str, str], wanted: Collection[Fate]) -> list[str]:
    return [name for name, fate in fates().items() if fate in wanted and name in environment]
