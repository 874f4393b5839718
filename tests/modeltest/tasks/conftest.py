"""Specs and hand-written rows for the accuracy tasks."""

from collections.abc import Callable

import pytest
from prompt_checks import COLUMNS

from modeltest.api import Record, RunSpec, TaskOptions


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    def build(protocol: str = "modeltest", shots: int | None = None, *, chat: bool = False) -> RunSpec:
        options = TaskOptions(shots=shots)
        return RunSpec("fa", "full_X", "x", "m", "w", protocol=protocol, chat=chat, options=options)

    return build


@pytest.fixture
def letter_record() -> Callable[..., Record]:
    def build(
        question: str, answer: str = "B", *, number: int = 0, subject: str = "abstract_algebra"
    ) -> Record:
        values = (question, "one", "two", "three", "four", answer)
        return Record(f"{subject}/{number}", subject, dict(zip(COLUMNS, values, strict=True)))

    return build
