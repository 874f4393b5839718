from dataclasses import replace

import pytest

from modeltest.api import EngineInfo, ProcessorUse
from modeltest.findings import sentence
from modeltest.machine.disturbances import disturbances

GIB = 2**30
QUIET = {
    "cpus": 8,
    "cpus_online": 8,
    "sockets": 1,
    "load_1min": 0.5,
    "cpu_governor": "performance",
    "memory_bytes": 64 * GIB,
    "memory_available_bytes": 32 * GIB,
    "swap_used_bytes": 0,
}
USE = ProcessorUse(threads=8, cpus=8)
ENGINE = EngineInfo("hf", "cpu", "float32", 100, (), None, {}, processors=USE)


def test_a_quiet_machine_has_no_disturbances():
    assert disturbances(QUIET, ENGINE) == ()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"load_1min": 2.5}, "the load was 2.5 on 8 processors before the run: end other work"),
        ({"cpu_governor": "powersave"}, "the cpu governor is powersave, which changes clock rates"),
        (
            {"memory_available_bytes": 4 * GIB, "swap_used_bytes": 3 * GIB},
            "4.0 of 64 GiB of memory were available before the run (3.0 GiB were swapped out)",
        ),
        ({"sockets": 2}, "threads may wander between 2 sockets: numactl --cpunodebind=0"),
    ],
)
def test_what_the_host_says_disturbs(facts, said):
    (found,) = disturbances({**QUIET, **facts}, ENGINE)
    assert sentence(found).startswith(said)


def test_more_threads_than_processors_take_turns():
    use = ProcessorUse(threads=16, cpus=8)
    (found,) = disturbances(QUIET, replace(ENGINE, processors=use))
    assert sentence(found) == "16 threads take turns on 8 processors: OMP_NUM_THREADS=8"


@pytest.mark.parametrize(("quota", "threads"), [(1.5, 1), (0.5, 1), (6.0, 6)])
def test_threads_beyond_the_limit_of_the_container_stand_still(quota, threads):
    (found,) = disturbances({**QUIET, "cpu_quota": quota}, ENGINE)
    assert sentence(found).startswith(f"8 threads share the time of {quota:g} processors")
    assert f"OMP_NUM_THREADS={threads}," in sentence(found)
    assert disturbances({**QUIET, "cpu_quota": 8.0}, ENGINE) == ()


@pytest.mark.parametrize(
    "use",
    [
        ProcessorUse(threads=8, cpus=8, settings={"OMP_PROC_BIND": "close"}),
        ProcessorUse(threads=4, cpus=4),
        ProcessorUse(threads=1, cpus=8),
    ],
    ids=["pinned threads", "pinned process", "one thread"],
)
def test_threads_that_stay_do_not_wander(use):
    assert disturbances({**QUIET, "sockets": 2}, replace(ENGINE, processors=use)) == ()


def test_what_the_host_does_not_tell_is_no_disturbance():
    assert disturbances(dict.fromkeys(QUIET), replace(ENGINE, processors=None)) == ()
    assert disturbances({}, ENGINE) == ()


def test_only_the_cpu_is_judged():
    loaded = {**QUIET, "load_1min": 99.0}
    assert disturbances(loaded, replace(ENGINE, device="npu")) == ()
    assert disturbances(loaded, None) == ()
