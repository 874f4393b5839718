"""The engine `openai` looked at a server, for tests."""

from __future__ import annotations

from collections.abc import Iterator

from engines.endpoint.engine import OpenAIEngine
from modeltest.api import RunSpec
from modeltest.testing.engine_contract import Loaded


def spec_of(url: str, **options: str) -> RunSpec:
    """Return what asks for the model at `url`, with engine options."""
    return RunSpec(
        engine="openai",
        mode="full_BoolQ",
        task="boolq",
        model="auto",
        weights=url,
        batch_sizes=((4,),),
        engine_options=options,
    )


def loaded_from(url: str, **options: str) -> Iterator[Loaded]:
    """Yield the engine that has looked at the server at `url`, and close it."""
    engine, spec = OpenAIEngine(), spec_of(url, **options)
    model = engine.served_model(spec)
    engine.check(spec, model)
    try:
        yield Loaded(engine, engine.load(spec, model), (spec, model))
    finally:
        engine.close()
