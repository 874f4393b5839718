"""The contracts as classes of tests, to derive those of a plug-in from. Needs pytest."""

import pytest

pytest.register_assert_rewrite(
    "modeltest.testing.engine_contract",
    "modeltest.testing.report_contract",
    "modeltest.testing.task_contract",
)

from modeltest.testing.engine_contract import EngineContract  # noqa: E402
from modeltest.testing.report_contract import ReportContract  # noqa: E402
from modeltest.testing.task_contract import TaskContract  # noqa: E402

__all__ = ["EngineContract", "ReportContract", "TaskContract"]
