import pytest
from finding_checks import ABSENT, OK, WRONG, assert_found

from modeltest.doctor.software import check_atb, check_atb_speed, check_cann, check_torch


@pytest.mark.parametrize(
    ("home", "is_there", "is_installed", "files", "state", "said", "mend"),
    [
        ("/cann", True, True, ["package_name=x\nversion=8.0.RC3\n"], OK, "8.0.RC3 in /cann", ""),
        ("/cann", True, True, ["", "Version=7.5\n"], OK, "7.5 in /cann", ""),
        ("/cann", True, True, [], OK, "in /cann", ""),
        (
            "/cann",
            False,
            True,
            [],
            WRONG,
            "ASCEND_HOME_PATH=/cann does not exist",
            "source /usr/local/Ascend/asc",
        ),
        (
            None,
            False,
            True,
            [],
            WRONG,
            "installed, but",
            "source /usr/local/Ascend/ascend-toolkit/set_env.sh",
        ),
        (None, False, False, [], ABSENT, "not set", "cann-toolkit_*.run --install"),
    ],
)
def test_cann(home, is_there, is_installed, files, state, said, mend):
    found = check_cann(home, is_there=is_there, is_installed=is_installed, version_files=files)
    assert_found(found, state, said, mend)


@pytest.mark.parametrize(
    ("home", "has_library", "is_installed", "state", "said", "mend"),
    [
        ("/atb", True, False, OK, "in /atb", ""),
        ("/atb", False, True, WRONG, "ATB_HOME_PATH=/atb has no lib/libatb.so", "nnal/atb/set_env.sh"),
        (
            None,
            False,
            True,
            WRONG,
            "installed, but ATB_HOME_PATH",
            "source /usr/local/Ascend/nnal/atb/set_env.sh",
        ),
        (None, False, False, ABSENT, "not set", "nnal_*.run --install"),
    ],
)
def test_atb(home, has_library, is_installed, state, said, mend):
    assert_found(check_atb(home, has_library=has_library, is_installed=is_installed), state, said, mend)


@pytest.mark.parametrize(
    ("home", "has_runner", "is_installed", "state", "said", "mend"),
    [
        ("/models", True, True, OK, "/models", ""),
        ("/models", False, True, WRONG, "/models has no examples/run_pa.py", "atb-models/set_env.sh"),
        (None, False, True, WRONG, "not set", "source /usr/local/Ascend/atb-models/set_env.sh"),
        (None, False, False, ABSENT, "not set", "atb-models/set_env.sh"),
    ],
)
def test_atb_speed(home, has_runner, is_installed, state, said, mend):
    found = check_atb_speed(home, has_runner=has_runner, is_installed=is_installed)
    assert_found(found, state, said, mend)


@pytest.mark.parametrize(
    ("torch", "torch_npu", "state", "said", "mend"),
    [
        ("2.1.0", "2.1.0.post10", OK, "2.1.0, 2.1.0.post10", ""),
        ("2.13.0+cpu", "2.13.0", OK, "2.13.0+cpu, 2.13.0", ""),
        ("2.6.0a0+git1", "2.6.0rc1", OK, "2.6.0a0+git1", ""),
        (None, "2.1.0.post10", ABSENT, "torch is not installed", "pip install torch==2.1.0"),
        (None, None, ABSENT, "torch is not installed", "pip install torch"),
        ("2.6.0", None, ABSENT, "no torch_npu", "pip install 'torch_npu==2.6.0.*'"),
        ("2.6.0", "2.1.0.post10", WRONG, "do not belong together", "pip install torch==2.1.0"),
        ("2.6.0+cu124", "2.6.0", WRONG, "built for another accelerator", "torch==2.6.0+cpu"),
    ],
)
def test_torch(torch, torch_npu, state, said, mend):
    assert_found(check_torch(torch, torch_npu), state, said, mend)
