from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_site import Site

from modeltest.bootstrap import in_place
from modeltest.bootstrap.in_place import complete_this_python
from modeltest.bootstrap.pip import CommandFailed

ASCEND = {"torch": "2.1.0", "torch_npu": "2.1.0.post6", "numpy": "1.26.4", "transformers": "4.44.2"}


class Pip:
    """Stands in for pip: remembers what it was asked, and fails as often as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words: list[list[str]] = []
        self.constraints: list[list[str]] = []
        self.failures: list[str] = []

    def __call__(self, python: str, words: Sequence[str], *, root: Path, what: str) -> None:
        assert python == sys.executable
        if words[0] == "-c":
            self.constraints.append(Path(words[1]).read_text(encoding="utf-8").splitlines())
        self.words.append(list(words[2:] if words[0] == "-c" else words))
        if self.failures:
            log = self.folder / f"log{len(self.words)}"
            log.write_text(self.failures.pop(0), encoding="utf-8")
            raise CommandFailed(what, log)


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    stand_in = Pip(tmp_path)
    monkeypatch.setattr(in_place, "pip_install", stand_in)
    monkeypatch.setattr(in_place, "_lock_file", lambda: tmp_path / "lock")
    return stand_in


@pytest.fixture
def ascend(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, version in ASCEND.items():
        site.add(name, version)
    site.be_all_there_is(monkeypatch)
    return site


def test_ascend_container_gets_what_it_lacks_and_then_modeltest(root: Path, ascend: Site, pip: Pip) -> None:
    complete_this_python(root, {"hf"})
    assert pip.words == [["click>=8.1", "sentencepiece>=0.2"], ["--no-deps", "-e", "."]]


def test_ascend_container_keeps_every_version(root: Path, ascend: Site, pip: Pip) -> None:
    (root / "constraints.txt").write_text("torch==2.13.0\nnumpy==2.4.6\nclick==8.5.1\n", encoding="utf-8")
    complete_this_python(root, {"hf"})
    assert pip.constraints == [
        [
            "numpy==1.26.4",
            "torch==2.1.0",
            "torch-npu==2.1.0.post6",
            "transformers==4.44.2",
            "click==8.5.1",
        ]
    ]


def test_version_that_is_too_old_is_told_and_left(
    root: Path, ascend: Site, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    complete_this_python(root, {"hf"})
    told = capsys.readouterr().err
    assert told == "run.sh: left as it is: transformers 4.44.2 (asked for: >=4.46)\n"


def test_only_modeltest_is_installed_where_nothing_else_is_missing(
    root: Path, ascend: Site, pip: Pip
) -> None:
    ascend.add("click", "8.5.1")
    ascend.add("sentencepiece", "0.2.0")
    complete_this_python(root, {"hf"})
    assert pip.words == [["--no-deps", "-e", "."]]


def test_complete_python_is_left_alone(root: Path, ascend: Site, pip: Pip) -> None:
    ascend.add("click", "8.5.1")
    ascend.add("sentencepiece", "0.2.0")
    ascend.add_editable(root)
    complete_this_python(root, {"hf"})
    assert pip.words == []


def test_conflict_with_the_tested_versions_leaves_the_installed_ones_pinned(
    root: Path, ascend: Site, pip: Pip, tmp_path: Path
) -> None:
    pip.failures = ["ERROR: ResolutionImpossible: for help visit"]
    complete_this_python(root, {"hf"})
    assert len(pip.words) == 3
    assert "click==8.5.1" in pip.constraints[0]
    assert "click==8.5.1" not in pip.constraints[1]
    assert "torch==2.1.0" in pip.constraints[1]
    assert not (tmp_path / "log1").exists()


def test_other_failure_ends_before_modeltest_is_installed(root: Path, ascend: Site, pip: Pip) -> None:
    pip.failures = ["ERROR: Could not find a version"]
    with pytest.raises(CommandFailed, match="Could not find a version"):
        complete_this_python(root, {"hf"})
    assert pip.words == [["click>=8.1", "sentencepiece>=0.2"]]


def test_what_another_run_installed_meanwhile_is_seen(
    root: Path, ascend: Site, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(in_place, "_is_complete", lambda root, extras: next(answers))
    complete_this_python(root, {"hf"})
    assert pip.words == []
