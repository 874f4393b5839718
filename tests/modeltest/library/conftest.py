"""Two runs of the engine `fake`, made once: one that asks questions and one that takes times."""

from pathlib import Path

import pytest

from modeltest.cli.root import root

FAKE = ("--engine", "fake", "--model", "none")


def made(folder: Path, *words: str) -> Path:
    """Return the directory of the run that the command `words` makes in `folder`."""
    root.main([*words, *FAKE, "--output", str(folder)], standalone_mode=False)
    (directory,) = folder.iterdir()
    return directory


@pytest.fixture(scope="session")
def accuracy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of seven questions."""
    folder = tmp_path_factory.mktemp("library_accuracy")
    return made(folder, "accuracy", "--task", "boolq", "--split", "sample", "--limit", "7")


@pytest.fixture(scope="session")
def timed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of one case at two batch sizes."""
    folder = tmp_path_factory.mktemp("library_timed")
    words = ("performance", "--case", "8,4", "--batch-size", "1", "--batch-size", "2", "--quick")
    return made(folder, *words)
