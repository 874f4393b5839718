from importlib.metadata import EntryPoint

import pytest

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    Engine,
    HarnessTask,
    MeasurementTask,
    PrerequisiteError,
    SequentialTask,
)


def test_every_declared_plug_in_has_the_methods_of_its_protocol():
    for name in registry.engine_names():
        engine = registry.load_engine(name)
        assert isinstance(engine, Engine)
        assert engine.name == name
    for name in registry.task_names():
        task = registry.load_task(name)
        assert isinstance(task, (AccuracyTask, HarnessTask, MeasurementTask, SequentialTask))
        assert task.name == name
    assert len({report.name for report in registry.reports()}) >= 5


def test_an_absent_plug_in_is_named_with_what_there_is():
    with pytest.raises(
        PrerequisiteError, match=r"task 'bolq' is not available; installed tasks: .*boolq"
    ) as caught:
        registry.load_task("bolq")
    assert "did you mean 'boolq'?" in str(caught.value)


def test_every_task_declares_its_modes():
    words = {mode.word for mode in registry.declared_modes()}
    assert {
        "full_BoolQ",
        "sample_BoolQ",
        "full_CEval",
        "full_MMLU",
        "performance",
        "performance_maxbs",
    } <= words


def test_a_broken_plug_in_stops_only_those_who_use_it(monkeypatch):
    broken = EntryPoint("broken", "no_such_module:Task", registry.TASKS.group)
    points = {name: registry.declared(registry.TASKS.group)[name] for name in registry.task_names()}
    monkeypatch.setattr(registry, "declared", lambda _group: {**points, "broken": (broken,)})
    assert "full_BoolQ" in {mode.word for mode in registry.declared_modes()}
    with pytest.raises(
        PrerequisiteError, match=r"task 'broken' of an unknown package cannot be imported: .*no_such_module"
    ):
        registry.load_task("broken")


@pytest.mark.parametrize("load", [registry.load_task, registry.load_engine, registry.load_report])
def test_a_plug_in_that_lacks_its_methods_is_refused_with_the_contract_it_breaks(monkeypatch, load):
    point = EntryPoint("empty", "builtins:object", "any")
    monkeypatch.setattr(registry, "declared", lambda _group: {"empty": (point,)})
    with pytest.raises(
        PrerequisiteError,
        match=r"'empty' of an unknown package does not have the methods of modeltest\.api\.",
    ):
        load("empty")
