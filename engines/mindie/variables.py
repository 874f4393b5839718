"""The variables a model's profile wants on Ascend, and those of the user's shell that they replace. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from modeltest.api import ModelInfo, SpecError

REPLACED_VARIABLE = "MODELTEST_REPLACED"
"""Tells the worker what the shell had: by then it is gone."""

_OF_EVERY_MODEL = {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"}


def profile_variables(model: ModelInfo, *, keep: Collection[str], shell: Mapping[str, str]) -> dict[str, str]:
    """Return what the profile of `model` sets for a worker, but for the names in `keep`."""
    wanted = {name: value for name, value in _wanted(model).items() if name not in keep}
    replaced = {name: shell[name] for name, value in wanted.items() if shell.get(name, value) != value}
    return {**wanted, REPLACED_VARIABLE: json.dumps(replaced)}


def check_kept(model: ModelInfo, keep: Collection[str]) -> None:
    """Refuse to keep what no profile sets: the word would do nothing.

    Raises: SpecError.
    """
    if unknown := sorted(set(keep) - _wanted(model).keys()):
        raise SpecError(
            f"engine option keep={unknown[0]}: the profile of {model.key} does not set it; "
            f"it sets {', '.join(sorted(_wanted(model)))}"
        )


def replaced_notes(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note on each variable of the shell that a worker with `variables` has another value of."""
    replaced: dict[str, str] = json.loads(variables.get(REPLACED_VARIABLE, "{}"))
    return tuple(
        f"{name}={value} of the shell is {variables.get(name)} here, as the model's profile has it; "
        f"--engine-option keep={name} leaves it"
        for name, value in replaced.items()
    )


def _wanted(model: ModelInfo) -> dict[str, str]:
    return {**_OF_EVERY_MODEL, **model.environment}
