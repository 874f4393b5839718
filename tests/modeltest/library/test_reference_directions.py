"""Directions of packs made by real runs: what they tell, and references that can have none."""

from dataclasses import replace

import pytest

from modeltest.api import HoldingModule, PrerequisiteError, Role, SpecError
from modeltest.library.carrying_out import How
from modeltest.library.reference_directions import direction_spec, usable_directions
from modeltest.library.references import carry_out_reference
from modeltest.options.directions import Direction, Directions
from modeltest.options.references import reference_make
from modeltest.packs.distances import distances
from modeltest.registry import load_engine
from modeltest.run.pipes.deadlines import Limits
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.progress import Silence

WORDS = ("--task", "boolq", "--protocol", "lm-eval", "--split", "sample", "--limit", "2", "--texts", "3")
TWIN = ("--twin-batch-size", "2", "--twin-questions", "1")
ASKED = ("--direction", "value_scale:1.02", "--direction", "position_table_scale", "--direction", "rope_base")


class Lines(Silence):
    """Keeps what is told."""

    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


def make(out, *words):
    context = reference_make.make_context("make", ["--out", str(out), *WORDS, *TWIN, *words])
    with context:
        asked = reference_make.callback(**context.params)
    told = Lines()
    return carry_out_reference(asked, command=None, how=How(told, Limits())), told.lines


@pytest.fixture(scope="module")
def llama(demo_model):
    return ("--model", str(demo_model("llama")), "--engine", "hf", "--dtype", "fp32")


@pytest.fixture(scope="module")
def made(tmp_path_factory, llama):
    return make(tmp_path_factory.mktemp("directions") / "x.ref", *llama, *ASKED)


def test_directions_tell_all_texts_and_no_question_in_the_reference_s_order(made):
    pack = made[0].pack
    directions = pack.of_role(Role.DIRECTION)
    reference = pack.of_role(Role.REFERENCE)[0]
    assert [each.fault for each in directions] == ["value_scale:1.02", "rope_base:0.1"]
    for each in directions:
        assert set(pack.answers[each.name]) == {text.id for text in pack.texts}
        assert (each.engine, each.dtype) == ("faulty", reference.dtype)
        assert each.batch_size == reference.batch_size
        assert each.options == {"fault": each.fault, "of": "hf"}
    assert [one.name for one in pack.manifest.computations] == [
        *("reference", "bf16-batch-2", "direction-value_scale-1.02", "direction-rope_base-0.1")
    ]


def test_a_direction_moves_tokens_as_its_fault_does_beyond_what_float32_rounds(made):
    found = {each.computation.fault: each.mean_token_shift for each in distances(made[0].pack)}
    assert found["value_scale:1.02"] > 1e-5
    assert found["rope_base:0.1"] > found["value_scale:1.02"]


def test_a_direction_of_what_the_model_has_not_is_left_out_with_a_line(made):
    said = "direction position_table_scale:1.05 is left out: fault position_table_scale is of something that"
    assert [line for line in made[1] if line.startswith("direction ")] == [
        f"{said} a LlamaForCausalLM has not"
    ]


def test_directions_that_are_there_are_not_told_again(made, llama, tmp_path):
    out = made[0].path
    kept = out.rename(tmp_path / "kept.ref")
    before = {path: path.stat().st_mtime_ns for path in made[0].work.glob("direction-*/samples.jsonl")}
    again, _ = make(out, *llama, *ASKED)
    assert len(before) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.pack.answers == made[0].pack.answers
    assert kept.exists()


def test_a_direction_is_the_reference_s_run_of_the_texts_with_a_fault(made):
    base = read_result(made[0].work / "reference-texts").spec
    spec = read_result(made[0].work / "direction-value_scale-1.02").spec
    assert (spec.engine, spec.dtype) == ("faulty", "float32")
    assert replace(
        spec, engine=base.engine, engine_options={}, output_dir=base.output_dir, dtype=base.dtype
    ) == replace(base, allow_dtype_cast=True)


def test_options_of_the_reference_s_engine_are_those_of_the_engine_behind(made):
    result = read_result(made[0].work / "reference-texts")
    spec = replace(result.spec, engine_options={"attention": "eager"})
    options = direction_spec(spec, Direction("rope_base", 0.5), result).engine_options
    assert options == {"attention": "eager", "fault": "rope_base:0.5", "of": "hf"}


FAKE = ("--model", "none", "--engine", "fake")


def test_an_engine_that_keeps_its_model_has_none_and_says_so(tmp_path):
    made, lines = make(tmp_path / "x.ref", *FAKE)
    assert not isinstance(load_engine("fake"), HoldingModule)
    assert made.pack.of_role(Role.DIRECTION) == ()
    assert (
        "no directions: engine fake does not give its model away, so that no fault can be put into it"
        in lines
    )


def test_nothing_is_said_where_none_are_asked_for(tmp_path):
    _, lines = make(tmp_path / "x.ref", *FAKE, "--no-directions")
    assert not [line for line in lines if "direction" in line]


def test_directions_that_are_asked_for_by_name_are_refused_before_anything_is_asked(tmp_path):
    with pytest.raises(PrerequisiteError, match="leave directions out with --no-directions"):
        make(tmp_path / "x.ref", *FAKE, "--direction", "value_scale")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SpecError, match="unknown fault"):
        make(tmp_path / "x.ref", *FAKE, "--direction", "scale")


def test_a_reference_on_several_devices_has_none(made):
    result = read_result(made[0].work / "reference-texts")
    several = replace(result, spec=replace(result.spec, world_size=2))
    told = Lines()
    directions = Directions((Direction("value_scale", 1.02),), are_asked_for=False)
    assert usable_directions(directions, several, How(told, Limits())) == ()
    assert told.lines == ["no directions: engine faulty runs on one device, and the reference has 2"]
