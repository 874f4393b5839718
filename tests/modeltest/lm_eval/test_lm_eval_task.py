import re
import sys

import pytest

from modeltest import registry
from modeltest.api import AccuracyTask, HarnessTask, MeasurementTask, PrerequisiteError, RunSpec
from modeltest.installation import install_command
from modeltest.lm_eval.task import LmEval

SPEC = RunSpec(engine="fake", mode="lm_eval", task="lm_eval", model="m", weights="w")


def test_it_is_found_by_name_and_is_of_one_kind():
    task = registry.load_task("lm_eval")
    assert isinstance(task, HarnessTask)
    assert not isinstance(task, AccuracyTask | MeasurementTask)


def test_without_its_package_the_install_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(PrerequisiteError, match=re.escape(install_command("lm-eval"))):
        LmEval().check(SPEC)


@pytest.mark.parametrize(("own", "expected"), [(None, "0"), ("1", "1"), ("0", "0")])
def test_datasets_may_be_fetched_unless_the_caller_forbids_it(monkeypatch, own, expected):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if own is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", own)
    assert LmEval().environment(SPEC) == {"HF_HUB_OFFLINE": expected}


def test_the_list_of_tasks_says_that_it_is_a_harness():
    from click.testing import CliRunner

    from modeltest.cli.root import root

    (line,) = [
        line for line in CliRunner().invoke(root, ["list", "tasks"]).output.splitlines() if "lm_eval" in line
    ]
    assert line.split()[1] == "harness"
