"""Environments that hold another checkout, a former name, or another project of that name."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_site import Site

from modeltest.bootstrap import handover, in_place, venv
from modeltest.bootstrap.choose import ready_interpreter
from modeltest.bootstrap.handover import packages_of, refuse_namesake, refuse_other_checkout, remove_former
from modeltest.bootstrap.in_place import complete_this_python
from modeltest.bootstrap.installed import find_installation, namesake_version
from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.venv import make_ready


@pytest.fixture
def other(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "other"))


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What pip would have been asked, in order."""
    done: list[str] = []

    def install(python: str, words: Sequence[str], **_: object) -> None:
        done.append(f"install {' '.join(words[-2:])}")

    def uninstall(python: str, name: str, **_: object) -> None:
        done.append(f"uninstall {name}")

    monkeypatch.setattr(in_place, "pip_install", install)
    monkeypatch.setattr(venv, "pip_install", install)
    monkeypatch.setattr(handover, "pip_uninstall", uninstall)
    monkeypatch.setattr(in_place, "_lock_file", lambda: tmp_path / "lock")
    return done


def environment(place: Path, *, stamp: bool) -> Site:
    """Make a virtual environment, ours by its stamp or somebody else's, and return its packages."""
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    (place / "pyvenv.cfg").touch()
    if stamp:
        (place / "modeltest-stamp.json").write_text(
            json.dumps({"digest": "-", "extras": ["hf"], "interpreter": os.path.realpath(sys.executable)})
        )
    return Site(place / "lib" / f"python3.{sys.version_info[1]}" / "site-packages")


@pytest.mark.parametrize("stamp", [True, False], ids=["made by run.sh", "made by hand"])
@pytest.mark.parametrize("name", ["llm-modeltest", "modeltest"])
def test_c8_an_environment_of_another_checkout_is_refused_naming_both(
    root: Path, other: Path, tmp_path: Path, pip: list[str], stamp: bool, name: str
) -> None:
    place = tmp_path / "shared env"
    environment(place, stamp=stamp).add_editable(other, name=name)
    with pytest.raises(NotReady) as caught:
        make_ready(root, place, {"hf"})
    assert str(caught.value) == (
        f"{place} is the environment of the checkout {other}, and this checkout is {root}: start "
        f"{other}/run.sh, or name another place in MODELTEST_VENV, or free the environment first: "
        f"{place}/bin/python -m pip uninstall {name}"
    )
    assert pip == []


def test_c8_the_running_python_of_another_checkout_is_refused_too(
    root: Path, other: Path, site: Site, pip: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (site.add_editable(other) / "METADATA").open("a", encoding="utf-8") as file:
        file.write("Requires-Dist: click>=8.1\n")  # is missing, so that it would be completed in place
    site.add("torch", "2.1.0")
    site.be_all_there_is(monkeypatch)
    with pytest.raises(
        NotReady, match=f"{re.escape(str(other))}, and this checkout is {re.escape(str(root))}"
    ):
        ready_interpreter(root, root / ".venv", {"hf"})
    assert pip == []


def test_an_environment_in_this_checkout_is_its_own_whatever_it_was_copied_from(
    root: Path, other: Path, pip: list[str]
) -> None:
    environment(root / ".venv", stamp=True).add_editable(other)
    make_ready(root, root / ".venv", {"hf"})
    assert pip == ["install -e .[hf]"]


def test_an_environment_whose_checkout_is_gone_is_free(
    root: Path, other: Path, tmp_path: Path, pip: list[str]
) -> None:
    environment(tmp_path / "env", stamp=True).add_editable(other)
    shutil.rmtree(other)
    make_ready(root, tmp_path / "env", {"hf"})
    assert pip == ["install -e .[hf]"]


def test_a_link_to_the_environment_of_another_checkout_is_refused(
    root: Path, other: Path, pip: list[str]
) -> None:
    environment(other / ".venv", stamp=True).add_editable(other)
    (root / ".venv").symlink_to(other / ".venv")
    with pytest.raises(NotReady, match="is the environment of the checkout"):
        make_ready(root, root / ".venv", {"hf"})


def test_c9_the_former_name_is_removed_before_the_new_one_is_installed(
    root: Path, site: Site, pip: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_editable(root, name="modeltest")
    for name in ("click", "torch", "transformers", "sentencepiece"):
        site.add(name, "9.0")
    site.be_all_there_is(monkeypatch)
    found = find_installation(root, ())
    assert found is not None
    assert (found.is_this_checkout, found.is_complete) == (True, False)
    assert ready_interpreter(root, root / ".venv", {"hf"}) == Path(sys.executable)
    assert pip == ["uninstall modeltest", "install -e ."]


def test_c9_the_former_name_is_removed_from_an_environment_of_run_sh(root: Path, pip: list[str]) -> None:
    environment(root / ".venv", stamp=True).add_editable(root, name="modeltest")
    make_ready(root, root / ".venv", {"hf"})
    assert pip == ["uninstall modeltest", "install -e .[hf]"]


def test_c9_the_project_of_the_former_name_is_named_and_refused(
    root: Path, site: Site, pip: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("modeltest", "0.2.1")
    site.add("torch", "2.1.0")
    site.be_all_there_is(monkeypatch)
    assert namesake_version() == "0.2.1"
    with pytest.raises(NotReady, match=r"has modeltest 0\.2\.1 from PyPI, another project") as caught:
        complete_this_python(root, {"hf"})
    assert f"{sys.executable} -m pip uninstall modeltest" in str(caught.value)
    site.add_editable(root)
    site.add("click", "9.0")
    with pytest.raises(NotReady, match="another project"):  # it would be imported in place of this checkout
        ready_interpreter(root, root / ".venv", {"hf"})
    assert pip == []


def test_c9_the_project_of_the_former_name_in_an_environment_is_refused(root: Path, pip: list[str]) -> None:
    environment(root / ".venv", stamp=True).add("modeltest", "0.2.1")
    with pytest.raises(NotReady, match=r"\.venv/bin/python has modeltest 0\.2\.1"):
        make_ready(root, root / ".venv", {"hf"})
    assert pip == []


def test_nothing_stands_in_the_way_of_an_empty_environment(
    root: Path, tmp_path: Path, pip: list[str]
) -> None:
    place = tmp_path / "env"
    site = environment(place, stamp=False)
    assert packages_of(place) == [str(site.folder)]
    refuse_namesake("python", packages_of(place))
    refuse_other_checkout(root, "python", prefix=place, search_path=packages_of(place))
    remove_former("python", root, packages_of(place))
    assert pip == []
