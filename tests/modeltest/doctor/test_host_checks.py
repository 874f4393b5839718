import json
from dataclasses import replace

import pytest
from finding_checks import ABSENT, OK, SKIPPED, WARNING, WRONG, assert_found
from npu_smi_outputs import TWO_A2_CHIPS

from modeltest.doctor.host import (
    check_driver,
    check_governor,
    check_master_port,
    check_npu_smi,
    check_paths,
    check_rank_table,
    check_visible_devices,
    is_port,
)
from modeltest.doctor.machine import CommandOutput
from modeltest.doctor.npu_smi import chips_in

CHIPS = chips_in(TWO_A2_CHIPS.text)


@pytest.mark.parametrize(
    ("version_info", "device_files", "state", "said", "mend"),
    [
        ("Version=24.1.0\nascendhal_version=7\n", True, OK, "24.1.0", ""),
        ("Version=24.1.0\n", False, WRONG, "no /dev/davinci_manager", "docker run --device /dev/davinci0"),
        (None, True, WARNING, "libraries", "docker run -v /usr/local/Ascend/driver"),
        ("nothing of use", True, WARNING, "libraries", "docker run"),
        (None, False, ABSENT, "not installed", "npu-driver"),
    ],
)
def test_driver(version_info, device_files, state, said, mend):
    assert_found(check_driver(version_info, has_device_files=device_files), state, said, mend)


@pytest.mark.parametrize(
    ("output", "chips", "state", "said", "mend"),
    [
        (TWO_A2_CHIPS, CHIPS, OK, "2 x 910B3, all healthy", ""),
        (None, (), ABSENT, "no such command", "npu-smi"),
        (
            CommandOutput(255, "a\nret is -8020\n\n"),
            (),
            WRONG,
            "255 and lists no chip: ret is -8020",
            "export LD_",
        ),
        (CommandOutput(0, ""), (), WRONG, "lists no chip: nothing", "LD_LIBRARY_PATH"),
        (
            TWO_A2_CHIPS,
            (CHIPS[0], replace(CHIPS[1], health="Alarm")),
            WRONG,
            "card 1 is in state Alarm",
            "-i 1",
        ),
        (TWO_A2_CHIPS, (CHIPS[0], replace(CHIPS[1], health="Warning")), WARNING, "state Warning", "-i 1"),
    ],
)
def test_npu_smi(output, chips, state, said, mend):
    assert_found(check_npu_smi(output, chips), state, said, mend)


@pytest.mark.parametrize(
    ("variable", "chips", "wanted", "state", "said", "mend"),
    [
        (None, 8, 8, OK, "all 8", ""),
        ("0,1", 8, 2, OK, "=0,1", ""),
        ("2,5,7", 8, 2, OK, "=2,5,7", ""),
        (None, 0, 1, ABSENT, "no chips; 1 asked for", "npu-smi info"),
        (None, 4, 8, WRONG, "8 chips asked for, 4 are here", "at most 4"),
        ("1,0", 8, 2, WRONG, "does not ascend: torch_npu then counts no device", "DEVICES=0,1"),
        ("0,0", 8, 2, WRONG, "does not ascend", "DEVICES=0,1"),
        ("0,8", 8, 2, WRONG, "chips here are 0 to 7", "DEVICES=0,1"),
        ("0", 8, 2, WRONG, "shows 1, 2 asked for", "DEVICES=0,1"),
        ("", 8, 2, WRONG, "is not numbers", "DEVICES=0,1"),
        ("0,one", 8, 4, WRONG, "is not numbers", "DEVICES=0,1,2,3"),
        ("0,-1", 8, 1, WRONG, "is not numbers", "DEVICES=0"),
    ],
)
def test_visible_devices(variable, chips, wanted, state, said, mend):
    assert_found(check_visible_devices(variable, chips=chips, wanted=wanted), state, said, mend)


@pytest.mark.parametrize(
    ("variable", "is_free", "state", "said", "mend"),
    [
        (None, False, OK, "not set", ""),
        ("12345", True, OK, "12345 is free", ""),
        ("12345", False, WRONG, "taken by another process", "export MASTER_PORT=999"),
        ("0", False, WRONG, "is no port", "unset MASTER_PORT"),
        ("65536", False, WRONG, "is no port", "unset MASTER_PORT"),
        ("http", False, WRONG, "'http' is no port: 1 to 65535", "unset MASTER_PORT"),
        ("", False, WRONG, "is no port", "unset MASTER_PORT"),
    ],
)
def test_master_port(variable, is_free, state, said, mend):
    assert_found(check_master_port(variable, is_free=is_free, free_port=999), state, said, mend)


def test_the_ports_are_those_of_tcp():
    assert [is_port(text) for text in ("1", "65535", "0", "65536", "²", "-1")] == [True, True, *[False] * 4]


@pytest.mark.parametrize(
    ("variable", "table", "state", "said"),
    [
        (None, None, OK, "not set"),
        ("", None, OK, "not set"),
        ("/gone", None, WRONG, "names /gone, which cannot be read"),
        ("/t", "{", WRONG, "is no rank table"),
        ("/t", "[]", WRONG, "is no rank table"),
        ("/t", json.dumps({"server_count": "1"}), WRONG, "is left over"),
        ("/t", json.dumps({"server_count": "2"}), WARNING, "is for 2 nodes"),
    ],
)
def test_rank_table(variable, table, state, said):
    assert_found(
        check_rank_table(variable, table), state, said, "unset RANK_TABLE_FILE" if state != OK else ""
    )


@pytest.mark.parametrize(
    ("paths", "state", "said", "mend"),
    [
        ({"/data/model-7b_v1.0": False}, OK, "/data/model-7b_v1.0", ""),
        ({"/data": False, "/my model": False}, WRONG, "/my model has a ' '", "without it"),
        ({"/a+b": False}, WRONG, "has a '+'", "without it"),
        ({"/tmp": True}, WRONG, "every user may write to /tmp", "chmod o-w /tmp"),
    ],
)
def test_paths(paths, state, said, mend):
    assert_found(check_paths(paths), state, said, mend)


@pytest.mark.parametrize(
    ("governors", "state", "said", "mend"),
    [
        (["performance\n", "performance"], OK, "performance", ""),
        (["performance", "powersave"], WARNING, "performance, powersave: times", "cpupower frequency-set"),
        ([], SKIPPED, "does not tell", ""),
    ],
)
def test_governor(governors, state, said, mend):
    assert_found(check_governor(governors), state, said, mend)
