from dataclasses import replace

import pytest
from made_runs import ENGINE, MODEL, accuracy_result

from modeltest.rounding import COARSEST, RESOLUTIONS, resolution_of


def run(dtype, **fields):
    return accuracy_result(engine=replace(ENGINE, dtype=dtype), **fields)


@pytest.mark.parametrize("dtype", RESOLUTIONS)
def test_the_dtype_that_the_engine_reports_decides(dtype):
    assert resolution_of(run(dtype, model=replace(MODEL, dtype="float32"))) is RESOLUTIONS[dtype]


def test_of_two_runs_the_coarser_one_decides():
    assert resolution_of(run("float32"), run("bfloat16")) is RESOLUTIONS["bfloat16"]
    assert resolution_of(run("bfloat16"), run("float16")) is RESOLUTIONS["bfloat16"]


def test_quantised_weights_are_coarsest_whatever_the_engine_computes_in():
    assert resolution_of(run("float16", model=replace(MODEL, quantize="w8a8"))) is COARSEST


def test_a_dtype_that_is_not_known_is_coarsest():
    assert resolution_of(run("float8_e4m3fn")) is COARSEST
    assert resolution_of(accuracy_result(engine=None, model=replace(MODEL, dtype=None))) is COARSEST
    assert resolution_of() is COARSEST


def test_a_run_whose_engine_never_loaded_is_taken_for_what_was_asked_of_it():
    begun = accuracy_result(engine=None)
    assert resolution_of(begun) is RESOLUTIONS["float32"]
    asked = replace(begun, spec=replace(begun.spec, dtype="bfloat16"))
    assert resolution_of(asked) is RESOLUTIONS["bfloat16"]


def test_a_coarser_dtype_has_wider_limits():
    rows = [*(RESOLUTIONS[name] for name in ("float32", "float16", "bfloat16")), COARSEST]
    assert rows == sorted(rows, key=lambda each: each.near_tie)
    assert rows == sorted(rows, key=lambda each: each.mean_kl)
