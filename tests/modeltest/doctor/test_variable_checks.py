from pathlib import Path

import pytest

from modeltest.doctor import variables
from modeltest.doctor.finding import State
from modeltest.doctor.variables import Fate, check_variables, fates
from modeltest.plain.toml_file import read_toml

PROFILE = {"TASK_QUEUE_ENABLE": "1", "ATB_OPERATION_EXECUTE_ASYNC": "1"}


@pytest.mark.parametrize(
    ("environment", "profile", "state", "said", "mend"),
    [
        ({}, {}, State.OK, "none is set that has no effect here", ""),
        ({"HCCL_BUFFSIZE": "110", "BIND_CPU": "0"}, {}, State.OK, "none is set", ""),
        (
            {"MAX_MEMORY_GB": "29", "TP_WORLD_SIZE": "2"},
            {},
            State.WARNING,
            "without effect here: TP_WORLD_SIZE, MAX_MEMORY_GB",
            "unset TP_WORLD_SIZE MAX_MEMORY_GB",
        ),
        (
            {"CPU_BINDING_NUM": "4", "MAX_MEMORY_GB": "29"},
            {},
            State.WRONG,
            "MindIE does not import with CPU_BINDING_NUM",
            "unset CPU_BINDING_NUM",
        ),
        ({"TASK_QUEUE_ENABLE": "1"}, PROFILE, State.OK, "none is set", ""),
        (
            {"TASK_QUEUE_ENABLE": "0", "ATB_OPERATION_EXECUTE_ASYNC": "0"},
            PROFILE,
            State.WARNING,
            "the model's profile replaces TASK_QUEUE_ENABLE=0 by 1, ATB_OPERATION_EXECUTE_ASYNC=0 by 1",
            "to keep yours: --engine-option keep=TASK_QUEUE_ENABLE+ATB_OPERATION_EXECUTE_ASYNC",
        ),
        (
            {"TASK_QUEUE_ENABLE": "0", "IS_BF16": "true"},
            PROFILE,
            State.WARNING,
            "without effect here: IS_BF16; the model's profile replaces TASK_QUEUE_ENABLE=0 by 1",
            "unset IS_BF16; to keep yours: --engine-option keep=TASK_QUEUE_ENABLE",
        ),
    ],
)
def test_variables(environment, profile, state, said, mend):
    finding = check_variables(environment, profile=profile)
    assert finding.state is state
    assert finding.said.startswith(said)
    assert finding.mend == mend


def test_every_fate_is_used():
    assert fates()["ATB_SPEED_HOME_PATH"] is Fate.READ
    assert set(fates().values()) == set(Fate)


def test_no_variable_stands_in_two_groups():
    book = read_toml(Path(variables.__file__).with_name("variables.toml"))
    assert sum(map(len, book.values())) == len(fates())
