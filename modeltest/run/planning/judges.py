"""Who says which engines can run: this interpreter, or the one that `--engine-python` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from modeltest.api import Demanding, Engine, ModelInfo, RunSpec, Task
from modeltest.run.planning.other_python import Interpreter, OtherPython


class Judge(Protocol):
    """Asks engines and tasks what depends on the packages that are installed where the worker will run."""

    @property
    def interpreter(self) -> Interpreter | None:
        """The interpreter that was asked; `None` is the one that is running."""

    def obstacle(self, engine: Engine, spec: RunSpec) -> str | None:
        """Return why the engine can run nothing, or not `spec`."""

    def check(self, engine: Engine, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what the engine cannot run.

        Raises: SpecError, PrerequisiteError.
        """

    def environment(self, engine: Engine, spec: RunSpec, model: ModelInfo) -> Mapping[str, str] | None:
        """Return the variables of a worker; `None` where the engine is asked whenever one starts."""

    def check_task(self, task: Task, spec: RunSpec) -> None:
        """Refuse what the task cannot do.

        Raises: SpecError, PrerequisiteError.
        """


class ThisPython:
    """Judges in the interpreter that is running."""

    interpreter: Interpreter | None = None

    def obstacle(self, engine: Engine, spec: RunSpec) -> str | None:
        """See `Judge.obstacle`."""
        return engine.obstacle(spec) if isinstance(engine, Demanding) else None

    def check(self, engine: Engine, spec: RunSpec, model: ModelInfo) -> None:
        """See `Judge.check`."""
        engine.check(spec, model)

    def environment(self, engine: Engine, spec: RunSpec, model: ModelInfo) -> None:
        """See `Judge.environment`: a port that is free now may be taken when a worker is started again."""
        return

    def check_task(self, task: Task, spec: RunSpec) -> None:
        """See `Judge.check_task`."""
        task.check(spec)


@contextmanager
def judging(spec: RunSpec) -> Iterator[Judge]:
    """Yield who judges the run of `spec`.

    Raises: SpecError, PrerequisiteError for an interpreter that cannot be used.
    """
    if spec.engine_python is None:
        yield ThisPython()
        return
    with OtherPython(spec.engine_python) as judge:
        yield judge
