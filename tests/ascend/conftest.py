"""MindIE for tests: the stand-in everywhere, and the real one where there is one."""

import os
from pathlib import Path

import pytest
from mindie_place import Place, place_of

from engines.mindie.environment import STAND_IN_HOME

ASCEND_WEIGHTS = "MODELTEST_ASCEND_WEIGHTS"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o750)
    return directory


@pytest.fixture
def stand_in(demo_model, scratch) -> Place:
    """Return the stand-in with a tiny llama in float16."""
    return place_of(str(demo_model("llama", "float16")), scratch, {"stand_in": "yes"})


@pytest.fixture(params=["stand-in", pytest.param("ascend", marks=pytest.mark.ascend)])
def place(request, scratch) -> Place:
    """Return the stand-in, and on an Ascend machine the MindIE there."""
    if request.param == "stand-in":
        return request.getfixturevalue("stand_in")
    weights, home = os.environ.get(ASCEND_WEIGHTS), os.environ.get("ATB_SPEED_HOME_PATH")
    if not weights or not home or Path(home).resolve() == STAND_IN_HOME:
        pytest.skip(
            f"needs an Ascend machine: ATB_SPEED_HOME_PATH and {ASCEND_WEIGHTS}=<a float16 checkpoint>"
        )
    return place_of(weights, scratch, {})
