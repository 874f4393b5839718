"""What MindIE's own variables ask for, and what becomes of them."""

import pytest

from modeltest import registry
from modeltest.api import Case, PrerequisiteError, RunSpec, SpecError
from modeltest.run.planning.plan import Plan, plan
from modeltest.run.supervisor.asked_files import AskedFiles, asked_files, prepared

TIMED = RunSpec(
    *("fake", "performance", "performance", "auto", "none"), cases=(Case(8, 4),), batch_sizes=((1,),)
)
ACCURACY = RunSpec("fake", "sample_BoolQ", "boolq", "auto", "none", split="sample", batch_sizes=((8,),))


def _traceable(plan: Plan) -> Plan:
    engine = registry.load_engine("hf")
    return Plan(plan.spec, plan.task, engine, plan.model)


def test_nothing_is_asked_for_by_default():
    assert asked_files(plan(TIMED), {}) == AskedFiles()
    off = {"ATB_LLM_BENCHMARK_ENABLE": "0", "ATB_PROFILING_ENABLE": "true"}
    assert asked_files(plan(TIMED), off) == AskedFiles()


def test_the_default_paths_are_those_of_mindie(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    on = {"ATB_LLM_BENCHMARK_ENABLE": "1", "ATB_PROFILING_ENABLE": "1"}
    assert asked_files(_traceable(plan(TIMED)), on) == AskedFiles(
        tmp_path / "benchmark_result" / "benchmark.csv", tmp_path / "profiling"
    )


def test_paths_can_be_chosen(tmp_path):
    on = {
        "ATB_LLM_BENCHMARK_ENABLE": "1",
        "ATB_LLM_BENCHMARK_FILEPATH": str(tmp_path / "times.csv"),
        "ATB_PROFILING_ENABLE": "1",
        "PROFILING_FILEPATH": str(tmp_path / "traces"),
        "PROFILING_LEVEL": "Level1",
    }
    asked = asked_files(_traceable(plan(TIMED)), on)
    assert (asked.benchmark, asked.trace_folder) == (tmp_path / "times.csv", tmp_path / "traces")


def test_a_run_without_times_says_so_and_goes_on():
    on = {"ATB_LLM_BENCHMARK_ENABLE": "1", "ATB_PROFILING_ENABLE": "1"}
    assert asked_files(plan(ACCURACY), on) == AskedFiles(
        notes=(
            "ATB_LLM_BENCHMARK_ENABLE=1: no benchmark.csv, sample_BoolQ takes no times of tokens",
            "ATB_PROFILING_ENABLE=1: no trace, sample_BoolQ takes no times of tokens",
        )
    )


def test_an_engine_that_computes_nothing_has_no_trace():
    asked = asked_files(plan(TIMED), {"ATB_PROFILING_ENABLE": "1"})
    assert asked.trace_folder is None
    assert asked.notes == ("ATB_PROFILING_ENABLE=1: no trace, engine fake has nothing to record",)


def test_an_unknown_level_is_refused_with_the_known_ones():
    with pytest.raises(SpecError, match="PROFILING_LEVEL is 'Level9'; available: Level0, Level1, Level2"):
        asked_files(plan(TIMED), {"ATB_PROFILING_ENABLE": "1", "PROFILING_LEVEL": "Level9"})


def test_the_folder_of_the_traces_is_made(tmp_path):
    folder = tmp_path / "a" / "traces"
    with prepared(AskedFiles(trace_folder=folder)):
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o777 == 0o750


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(PrerequisiteError, match=r"cannot write traces into .*PROFILING_FILEPATH"),
        prepared(AskedFiles(trace_folder=tmp_path / "file" / "traces")),
    ):
        pass
