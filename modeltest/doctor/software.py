"""Checks of CANN, ATB, the model repository of MindIE and torch: pure functions of what was read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modeltest.doctor.finding import Finding, State
from modeltest.installation import pip_command

CANN_SETUP = "/usr/local/Ascend/ascend-toolkit/set_env.sh"
ATB_SETUP = "/usr/local/Ascend/nnal/atb/set_env.sh"
MODELS_SETUP = "/usr/local/Ascend/atb-models/set_env.sh"


def check_cann(
    home: str | None, *, is_there: bool, is_installed: bool, version_files: Sequence[str]
) -> Finding:
    """Judge ASCEND_HOME_PATH.

    `is_there` tells of its folder, `is_installed` whether CANN lies in its usual place; `version_files` are
    the texts that may name a version.
    """
    name = "CANN"
    if home and is_there:
        found = (re.search(r"^version=(\S+)", text, re.MULTILINE | re.IGNORECASE) for text in version_files)
        version = next((match[1] for match in found if match), None)
        return Finding(name, State.OK, f"{version} in {home}" if version else f"in {home}")
    if home:
        return Finding(name, State.WRONG, f"ASCEND_HOME_PATH={home} does not exist", f"source {CANN_SETUP}")
    if is_installed:
        return Finding(
            name, State.WRONG, "installed, but ASCEND_HOME_PATH is not set", f"source {CANN_SETUP}"
        )
    return Finding(
        name,
        State.ABSENT,
        "ASCEND_HOME_PATH is not set",
        f"./Ascend-cann-toolkit_*.run --install && source {CANN_SETUP}",
    )


def check_atb(home: str | None, *, has_library: bool, is_installed: bool) -> Finding:
    """Judge ATB_HOME_PATH; `has_library` tells of lib/libatb.so in it."""
    name = "ATB"
    if home and has_library:
        return Finding(name, State.OK, f"in {home}")
    if home:
        return Finding(name, State.WRONG, f"ATB_HOME_PATH={home} has no lib/libatb.so", f"source {ATB_SETUP}")
    if is_installed:
        return Finding(name, State.WRONG, "installed, but ATB_HOME_PATH is not set", f"source {ATB_SETUP}")
    return Finding(
        name,
        State.ABSENT,
        "ATB_HOME_PATH is not set",
        f"./Ascend-cann-nnal_*.run --install && source {ATB_SETUP}",
    )


def check_atb_speed(home: str | None, *, has_runner: bool, is_installed: bool) -> Finding:
    """Judge ATB_SPEED_HOME_PATH; `has_runner` tells of examples/run_pa.py in it."""
    name = "ATB_SPEED_HOME_PATH"
    mend = f"source {MODELS_SETUP}"
    if home and has_runner:
        return Finding(name, State.OK, home)
    if home:
        return Finding(name, State.WRONG, f"{home} has no examples/run_pa.py", mend)
    state = State.WRONG if is_installed else State.ABSENT
    return Finding(name, state, "not set: the MindIE engines import their runners from it", mend)


def check_torch(torch: str | None, torch_npu: str | None) -> Finding:
    """Judge the versions of torch and torch_npu, which must have the same first three numbers."""
    name = "torch_npu"
    if torch is None:
        wanted = f"=={_release(torch_npu)}" if torch_npu else ""
        return Finding(name, State.ABSENT, "torch is not installed", pip_command(f"torch{wanted}"))
    if "+cu" in torch or "+rocm" in torch:
        return Finding(
            name,
            State.WRONG,
            f"torch {torch} is built for another accelerator, and torch allows one",
            pip_command("--force-reinstall", f"torch=={_release(torch)}+cpu"),
        )
    if torch_npu is None:
        return Finding(
            name,
            State.ABSENT,
            f"torch {torch}, but no torch_npu",
            pip_command(f"torch_npu=={_release(torch)}.*"),
        )
    if _release(torch) != _release(torch_npu):
        return Finding(
            name,
            State.WRONG,
            f"torch {torch} and torch_npu {torch_npu} do not belong together",
            pip_command(f"torch=={_release(torch_npu)}"),
        )
    return Finding(name, State.OK, f"{torch}, {torch_npu}")


def _release(version: str) -> str:
    """Return the first three numbers: torch_npu adds `.post4` or `rc1`, torch `+cpu`."""
    found = re.match(r"\d+(\.\d+){0,2}", version)
    return found[0] if found else version
