"""Tiny tasks, and a task manager that looks at nothing else."""

from pathlib import Path

import pytest
from tiny_tasks import write_tasks


@pytest.fixture(scope="session")
def tasks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny tasks."""
    return write_tasks(tmp_path_factory.mktemp("lm_eval_tasks"))


@pytest.fixture
def only_tiny_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare lm-eval the reading of its fourteen thousand tasks and of the machine: many seconds each time."""
    pytest.importorskip("lm_eval")
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    whole = TaskManager.__init__

    def quick(self, **options):
        whole(self, include_defaults=False, **options)

    monkeypatch.setattr(TaskManager, "__init__", quick)
    monkeypatch.setattr(evaluator, "add_env_info", lambda results: None)
