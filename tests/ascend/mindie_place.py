"""A MindIE with a checkpoint, and what is called in processes that were started as a run's worker is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processes import call

from engines.mindie.pa import MindiePA
from modeltest.api import ModelInfo, RunSpec
from modeltest.models.checkpoint import inspect_checkpoint

CONTEXT = 64
"""Small: a warm-up prefills as many tokens as fit."""


@dataclass(frozen=True)
class Place:
    """A MindIE with a checkpoint: calls run in processes that were started as a run's worker is."""

    spec: RunSpec
    model: ModelInfo
    scratch: Path
    is_stand_in: bool

    def with_record(self, *record: str) -> "Place":
        """Return this place, told what to write."""
        return self.with_options(**{**self.spec.engine_options, "record": "+".join(record)})

    def with_options(self, **options: str) -> "Place":
        """Return this place with these engine options and no others."""
        return replace(self, spec=replace(self.spec, engine_options=options))

    def variables(self) -> dict[str, str]:
        """Return what a worker is started with."""
        engine = MindiePA()
        return {
            **engine.environment(self.spec, self.model),
            **engine.file_environment(self.spec, self.scratch),
        }

    def call(
        self, function: Callable[..., Any], *arguments: Any, cwd: Path | None = None, **changes: str
    ) -> Any:
        """Return what `function` returns when it is given this place's spec and model, and `arguments`."""
        variables: Mapping[str, str] = {**self.variables(), **changes}
        return call(function, self.spec, self.model, *arguments, variables=variables, cwd=cwd or self.scratch)

    def call_plainly(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function` returns in a process that knows nothing of MindIE."""
        return call(function, self.spec, self.model, *arguments, variables={}, cwd=self.scratch)


def place_of(weights: str, scratch: Path, options: dict[str, str]) -> Place:
    """Return a place that writes into `scratch`."""
    spec = RunSpec(
        engine="mindie_pa",
        mode="test",
        task="test",
        model="auto",
        weights=weights,
        batch_sizes=((3,),),
        max_position_embeddings=CONTEXT,
        engine_options=options,
        output_dir=str(scratch.parent),
    )
    return Place(spec, inspect_checkpoint(spec), scratch, bool(options))
