"""One loaded model for one run after another: loaded once, and looked at before each further run.

A run must find the engine as it was when it had loaded: the memory of the device free of what earlier runs
left, and the same tokens for the same prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import islice
from typing import Any, TypeVar

from modeltest import registry
from modeltest.api import (
    ClientUse,
    DeviceError,
    Engine,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    ModelTestError,
    Request,
    Reusable,
    RunSpec,
    TokenPrompt,
)
from modeltest.run.worker.recovery import is_more_than, used_bytes

_Counts = TypeVar("_Counts", EngineUsage, ClientUse)

SENTINEL_PROMPT_TOKENS = 8
SENTINEL_TOKENS = 4

SHARED_NOTE = "the model was loaded by an earlier run of the same process"


class ServingEngine:
    """The engine of a worker process; with `serves_more` it will be asked to begin other runs."""

    def __init__(self, *, serves_more: bool) -> None:
        self.runs = 0
        """How many runs were made ready for, with success or not."""

        self._serves_more = serves_more
        self._engine: Engine | None = None
        self._loaded: EngineInfo | None = None
        self._memory_bytes: int | None = None
        self._tokens: Sequence[int] = ()
        self._before = EngineUsage()

    @property
    def is_loaded(self) -> bool:
        """Whether a model is loaded."""
        return self._loaded is not None

    def engine(self, name: str) -> Engine:
        """Return the engine called `name`, the same one each time.

        Raises: ModelTestError when it is another than before.
        """
        if self._engine is None:
            self._engine = registry.load_engine(name)
        if self._engine.name != name:
            raise ModelTestError(f"this worker has engine {self._engine.name!r} and is asked for {name!r}")
        return self._engine

    def ready(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model, or make the one that is loaded ready for another run.

        Raises: DeviceError when it is not what it was; what `Engine.load` raises.
        """
        engine = self._engine
        assert engine is not None
        self.runs += 1
        if self._loaded is None:
            self._loaded = engine.load(spec, model)
            if self._serves_more and isinstance(engine, Reusable):
                self._tokens = self._sentinel(engine)
                self._loaded = replace(self._begin(engine, spec, model), load_s=self._loaded.load_s)
                self._memory_bytes = self._used_bytes(engine)
            return self._loaded
        if not isinstance(engine, Reusable):
            raise ModelTestError(f"engine {engine.name!r} serves one run only")
        self._refuse_changed(engine)
        info = self._begin(engine, spec, model)
        return replace(info, notes=(*info.notes, SHARED_NOTE))

    def usage(self) -> EngineUsage:
        """Return what the engine did for the run at hand."""
        assert self._engine is not None
        return usage_since(self._before, self._engine.usage())

    def close(self) -> None:
        """Free the model, if there is one."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _begin(self, engine: Reusable, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        info = engine.begin(spec, model)
        assert self._engine is not None
        self._before = self._engine.usage()
        used = self._used_bytes(self._engine)
        if self._memory_bytes is not None and used is not None and is_more_than(used, self._memory_bytes):
            raise DeviceError(
                "the memory of the run before is not free again: "
                f"{used >> 20} MiB are in use, {self._memory_bytes >> 20} MiB were after loading"
            )
        return info

    def _refuse_changed(self, engine: Engine) -> None:
        try:
            tokens = self._sentinel(engine)
        except EngineError as problem:
            raise DeviceError(
                f"after the run before, a prompt that was answered fails: {problem}"
            ) from problem
        if tokens != self._tokens:
            raise DeviceError("after the run before, the same prompt gives other tokens than after loading")

    def _sentinel(self, engine: Engine) -> Sequence[int]:
        """Return the greedy answer to a short prompt of ordinary tokens."""
        assert self._loaded is not None
        special = set(self._loaded.special_token_ids)
        ordinary = (token for token in range(self._loaded.vocabulary_size) if token not in special)
        prompt = TokenPrompt(tuple(islice(ordinary, SENTINEL_PROMPT_TOKENS)))
        asked = Request("sentinel", prompt, SENTINEL_TOKENS, ignore_eos=True)
        answers = [one for batch in engine.complete([asked], batch_size=1) for one in batch]
        return tuple(token for one in answers for token in one.output_tokens)

    def _used_bytes(self, engine: Engine) -> int | None:
        """Return the memory of the device in use; on the cpu a process keeps what it once had."""
        assert self._loaded is not None
        return None if self._loaded.device == "cpu" else used_bytes(engine)


_PEAKS = frozenset({"peak_memory_bytes", "send_lag_ms", "loop_lag_ms"})
"""What begins anew with each run; everything else is counted."""


def usage_since(before: EngineUsage, now: EngineUsage) -> EngineUsage:
    """Return what was done between two counts; peaks are those of `now`, which began anew."""
    return _since(before, now)


def _since(before: _Counts, now: _Counts) -> _Counts:
    differences: dict[str, Any] = {}
    for field in fields(now):
        then, value = getattr(before, field.name), getattr(now, field.name)
        if field.name not in _PEAKS and then is not None and value is not None:
            value = _since(then, value) if isinstance(value, ClientUse) else value - then
        differences[field.name] = value
    return type(now)(**differences)
