"""A plug-in of pytest, `-p on_device.demanded_device`: the tests run on the device that is demanded.

tests/conftest.py drops MODELTEST_DEVICE, so that the suite does not depend on the shell it is started from.
Here it is given back, under another name (`DEVICE`), when all conftest files have been read. What the device
was asked for is written at the end (`FACTS`): passed tests alone would not show that they ran on it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from on_device.demanded_device_names import DEVICE, FACTS


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Demand the device of all engines, just before the first test."""
    os.environ["MODELTEST_DEVICE"] = os.environ[DEVICE]


def pytest_sessionfinish() -> None:
    """Tell how often memory of the device was asked for."""
    Path(os.environ[FACTS]).write_text(json.dumps({"device_allocations": _allocations()}), encoding="utf-8")


def _allocations() -> int | None:
    import torch

    device = os.environ[DEVICE]
    if device == "cpu":
        return None
    # Engines begin peaks anew, this count goes on.
    count: int = getattr(torch, device).memory_stats().get("allocation.all.allocated", 0)
    return count
