import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import (
    BatchRange,
    Case,
    Completion,
    Finding,
    Finish,
    Measurement,
    Parallel,
    Proportion,
    RunSpec,
    Sample,
    Score,
    TaskOptions,
)
from modeltest.plain.contracts import from_plain, to_plain, with_fields

SPEC = RunSpec(
    engine="pa_fp16",
    mode="performance_maxbs",
    task="performance_maxbs",
    model="gemma",
    weights="/w",
    dtype="float16",
    options=TaskOptions(batch_ranges=(BatchRange(1, 8),), latency_limit_ms=50.0),
    cases=(Case(256, 64),),
    parallel=Parallel(tp=8),
    engine_options={"a": "b"},
)


def test_spec_survives_json():
    assert from_plain(RunSpec, json.loads(json.dumps(to_plain(SPEC)))) == SPEC


def test_enums_become_their_values():
    assert to_plain(Completion("r", finish=Finish.STOP))["finish"] == "stop"
    assert from_plain(Completion, {"request_id": "r", "finish": "stop"}).finish is Finish.STOP


def test_lists_become_tuples_again():
    measurement = Measurement(0, 2, 0, "measure", completions=(Completion("a", output_tokens=(1, 2)),))
    assert from_plain(Measurement, to_plain(measurement)) == measurement


def test_an_integer_is_accepted_where_a_float_is_meant():
    assert from_plain(Proportion, to_plain(Proportion(1, 1, 1, 0, 0, 1))).accuracy == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": 3}, "RunSpec.engine: expected str, got 3"),
        ({"wrong": 1}, "RunSpec: unknown fields ['wrong']"),
        ({"seed": True}, "RunSpec.seed: expected int, got True"),
        ({"seed": "1"}, "RunSpec.seed: expected int, got '1'"),
        ({"cases": 1}, "RunSpec.cases: expected a list, got 1"),
        ({"cases": [{"input_tokens": 1}]}, "RunSpec.cases[0]: "),
        ({"engine_options": []}, "RunSpec.engine_options: expected an object, got []"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match="RunSpec") as caught:
        from_plain(RunSpec, {**to_plain(SPEC), **change})
    assert message in str(caught.value)


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match="mode"):
        from_plain(RunSpec, {"engine": "hf"})


@given(
    st.builds(
        Sample,
        score=st.builds(
            Score,
            request_id=st.text(),
            subject=st.text(),
            category=st.text(),
            expected=st.text(),
            margin=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        completion=st.builds(
            Completion,
            request_id=st.text(),
            text=st.none() | st.text(),
            choice_tokens=st.lists(st.lists(st.integers()).map(tuple)).map(tuple),
            choice_logprobs=st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple),
            finish=st.none() | st.sampled_from(Finish),
        ),
        prompt_sha256=st.text(),
    )
)
def test_any_sample_survives_json(sample):
    assert from_plain(Sample, json.loads(json.dumps(to_plain(sample)))) == sample


@dataclass(frozen=True)
class _Nested:
    inner: dict[str, tuple[int, ...]] = field(default_factory=dict)
    either: int | str | None = None


def test_nested_generics_and_unions_are_built():
    assert from_plain(_Nested, {"inner": {"a": [1, 2]}, "either": "x"}) == _Nested({"a": (1, 2)}, "x")
    with pytest.raises(ValueError, match=r"inner.a\[1\]: expected int"):
        from_plain(_Nested, {"inner": {"a": [1, None]}})


def test_half_a_character_in_a_key_is_refused_as_in_a_value():
    with pytest.raises(ValueError, match="surrogates not allowed"):
        from_plain(Finding, {"code": "x", "values": {"\ud800": 1}})


def test_fields_are_replaced_as_they_are_built():
    completion = Completion("a", text="x", output_tokens=(1,))
    assert with_fields(completion, {"text": None, "finish": "stop"}) == Completion(
        "a", output_tokens=(1,), finish=Finish.STOP
    )
    for changes, message in (
        ({"words": 1}, r"Completion: unknown fields \['words'\]"),
        ({"output_tokens": [1, "2"]}, r"Completion.output_tokens\[1\]: expected int, got '2'"),
    ):
        with pytest.raises(ValueError, match=message):
            with_fields(completion, changes)


@dataclass(frozen=True)
class _Unions:
    number: float | int | None = None
    either: Finish | str | None = None
    more: str | tuple[int, ...] | None = None


@pytest.mark.parametrize(
    ("plain", "built"),
    [
        ({"number": 1}, _Unions(number=1.0)),
        ({"number": None}, _Unions()),
        ({"either": "stop"}, _Unions(either=Finish.STOP)),
        ({"either": "else"}, _Unions(either="else")),
        ({"more": "ab"}, _Unions(more="ab")),
        ({"more": [1, 2]}, _Unions(more=(1, 2))),
    ],
)
def test_a_value_is_built_by_the_first_option_that_takes_it(plain, built):
    found = from_plain(_Unions, plain)
    assert repr(found) == repr(built)
    with pytest.raises(ValueError, match=r"_Unions.number: expected float, got \[\]; .* int, .* NoneType"):
        from_plain(_Unions, {"number": []})
