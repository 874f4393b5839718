"""Directions of a reference pack: the reference with one small fault, and which references can have one."""

from __future__ import annotations

from dataclasses import replace

from modeltest import registry
from modeltest.api import Engine, HoldingModule, PrerequisiteError, RunResult, RunSpec
from modeltest.demo.faults.engine import FaultyEngine
from modeltest.library.carrying_out import How
from modeltest.options.directions import Direction, Directions

REMEDY = "leave directions out with --no-directions"


def refuse_directions(asked: Directions, engine: Engine, spec: RunSpec) -> None:
    """Refuse directions that are asked for by name where the reference can have none.

    Raises: PrerequisiteError.
    """
    reason = _obstacle(engine, spec) if asked.are_asked_for else None
    if reason is not None:
        raise PrerequisiteError(f"{reason}; {REMEDY}")


def usable_directions(asked: Directions, result: RunResult, how: How) -> tuple[Direction, ...]:
    """Return the directions that the reference of the run `result` can have; why it has none is told.

    Raises: PrerequisiteError where they are asked for by name and it can have none.
    """
    if not asked.all:
        return ()
    engine = registry.load_engine(result.adapter or result.spec.engine)
    refuse_directions(asked, engine, result.spec)
    reason = _obstacle(engine, result.spec)
    if reason is not None:
        how.progress.line(f"no directions: {reason}")
        return ()
    return asked.all


def direction_spec(spec: RunSpec, direction: Direction, result: RunResult) -> RunSpec:
    """Return the run `spec` of the reference, whose engine and dtype `result` names, with a fault."""
    of = result.adapter or spec.engine
    return replace(
        spec,
        engine=FaultyEngine.name,
        # The word of the reference may have meant it; this one means none.
        dtype=result.engine.dtype if result.engine else spec.dtype,
        allow_dtype_cast=True,
        engine_options={**spec.engine_options, "fault": direction.label, "of": of},
    )


def _obstacle(engine: Engine, spec: RunSpec) -> str | None:
    if not isinstance(engine, HoldingModule):
        return f"engine {engine.name} does not give its model away, so that no fault can be put into it"
    if spec.world_size != 1:
        return f"engine {FaultyEngine.name} runs on one device, and the reference has {spec.world_size}"
    return None
