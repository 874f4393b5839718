"""What was found of an engine when it had loaded, held against what the task needs."""

from __future__ import annotations

from collections.abc import Collection

from modeltest.api import Capability, EngineInfo, PrerequisiteError, RunSpec


def refuse_lacking(info: EngineInfo, spec: RunSpec, required: Collection[Capability]) -> None:
    """Refuse a task that needs what the engine has not here, before its first question.

    Raises: PrerequisiteError naming what is missing and what was seen instead.
    """
    missing = [
        capability for capability in Capability if capability in required and capability in info.lacking
    ]
    if missing:
        reasons = "; ".join(f"{each.value} ({info.lacking[each.value]})" for each in missing)
        raise PrerequisiteError(
            f"engine {info.engine!r} cannot run {spec.mode} on {spec.weights}: it lacks {reasons}"
        )
