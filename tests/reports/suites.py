"""A suite for the report tests: one run of each end."""

from dataclasses import replace

from accuracy_runs import accuracy_run
from timed_runs import out_of_memory_run

from modeltest.api import RunResult, SuiteResult, SuiteRun, SuiteStatus, Verdict

ACCURACY, LATENCY, BROKEN, ABSENT, LATER = "001_a", "002_b", "003_c", "004_d", "005_e"


def results() -> dict[str, RunResult]:
    broken = replace(accuracy_run(), status="failed", summary=None, verdict=None, error="<b>no device</b>")
    return {ACCURACY: accuracy_run(), LATENCY: out_of_memory_run(), BROKEN: broken}


def suite() -> SuiteResult:
    sound = SuiteRun(
        name=ACCURACY,
        command=("modeltest", "accuracy", "--task=ceval"),
        spec=accuracy_run().spec,
        model="gpt2",
        adapter="hf",
        shares=1,
        status=SuiteStatus.COMPLETE,
        verdict=Verdict.VALID,
        headline="accuracy 50.00% (4/8)",
        exit_status=0,
        loads=1,
    )
    invalid = replace(
        *(sound,),
        name=LATENCY,
        spec=out_of_memory_run().spec,
        verdict=Verdict.INVALID,
        headline="8x3 batch 2: TPOT 10 ms",
        exit_status=1,
        loads=0,
    )
    ended = {"verdict": None, "headline": "", "loads": 0}
    broken = replace(
        sound, name=BROKEN, status=SuiteStatus.FAILED, error="<b>no device</b>", exit_status=5, **ended
    )
    absent = replace(
        *(sound,),
        name=ABSENT,
        adapter=None,
        status=SuiteStatus.REFUSED,
        error="weights 'w' do not exist",
        exit_status=2,
        **ended,
    )
    later = replace(sound, name=LATER, status=SuiteStatus.PLANNED, exit_status=None, **ended)
    return SuiteResult(
        name="nightly",
        file="nightly.yaml",
        started="2025-01-01T00:00:00+00:00",
        status=SuiteStatus.PARTIAL,
        runs=(sound, invalid, broken, absent, later),
        loads=1,
        exit_status=5,
        command="modeltest suite nightly.yaml",
        modeltest_version="0.1.0",
    )
