"""Protocol names, versions and the number of shots."""

from importlib.metadata import entry_points
from random import Random
from types import MappingProxyType

import pytest

from modeltest.api import AccuracyTask, Record, SpecError
from modeltest.tasks.protocols import PROTOCOLS, check_protocol, drawn_shots, first_shots, shot_count

EXAMPLES = [Record(f"s/{number}", "s", {}) for number in range(3)]


@pytest.mark.parametrize("protocol", ["modeltest", "lm-eval"])
def test_known_protocols_pass_and_have_a_version(make_spec, protocol):
    check_protocol(make_spec(protocol))
    assert PROTOCOLS[protocol]


@pytest.mark.parametrize("protocol", ["", "lm_eval", "ModelTest"])
def test_other_protocols_are_refused_with_the_list(make_spec, protocol):
    message = f"unknown protocol '{protocol}' of task 'x'; available: lm-eval, modeltest"
    with pytest.raises(SpecError, match=message):
        check_protocol(make_spec(protocol))


def test_a_task_may_know_a_protocol_of_its_own(make_spec):
    check_protocol(make_spec("mine"), MappingProxyType({**PROTOCOLS, "mine": "3"}))
    with pytest.raises(SpecError, match="unknown protocol 'mine' of task 'x'; available: lm-eval, modeltest"):
        check_protocol(make_spec("mine"))


def test_shots_not_asked_for_are_none(make_spec):
    assert (shot_count(make_spec()), shot_count(make_spec(shots=0)), shot_count(make_spec(shots=7))) == (
        0,
        0,
        7,
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_first_shots_keep_file_order(count):
    assert list(first_shots(EXAMPLES, count, subject="s")) == EXAMPLES[:count]


def test_too_many_shots_are_refused_with_the_numbers():
    with pytest.raises(SpecError, match="4 shots asked for, but 's' has 3 examples; use 3 shots or fewer"):
        first_shots(EXAMPLES, 4, subject="s")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_drawn_shots_are_those_that_the_generator_draws(count):
    drawn = drawn_shots(EXAMPLES, count, subject="s", random=Random(7))
    assert list(drawn) == Random(7).sample(EXAMPLES, count)


def test_a_draw_of_no_shots_leaves_the_generator_as_it_was():
    random = Random(7)
    drawn_shots(EXAMPLES, 0, subject="s", random=random)
    assert random.getstate() == Random(7).getstate()


def test_too_many_drawn_shots_are_refused_with_the_numbers():
    with pytest.raises(SpecError, match="4 shots asked for, but 's' has 3 examples; use 3 shots or fewer"):
        drawn_shots(EXAMPLES, 4, subject="s", random=Random(7))


@pytest.mark.parametrize("name", ["boolq", "ceval", "gsm8k", "mmlu"])
def test_tasks_are_found_through_their_entry_points(name):
    (entry,) = entry_points(group="modeltest.tasks", name=name)
    task = entry.load()()
    assert isinstance(task, AccuracyTask)
    assert {mode.task for mode in task.modes} == {task.name} == {name}
