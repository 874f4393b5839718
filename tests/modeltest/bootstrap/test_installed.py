from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from fake_site import ENTRY_POINTS, Site

from modeltest.bootstrap.installed import all_versions, find_installation, read_project, versions_of
from modeltest.bootstrap.requirements import needed

HERE = Path(__file__).resolve().parents[3]


def test_editable_installation_of_this_checkout_is_found(site: Site, root: Path) -> None:
    site.add_editable(root)
    site.add("click", "8.5.1")
    found = find_installation(root, (), [str(site.folder)])
    assert found is not None
    assert found.location.samefile(root)
    assert found.is_this_checkout
    assert found.is_complete


def test_nothing_installed_is_none(site: Site, root: Path) -> None:
    assert find_installation(root, (), [str(site.folder)]) is None


def test_build_leftovers_in_the_checkout_are_no_installation(root: Path) -> None:
    info = root / "llm_modeltest.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text(
        "Metadata-Version: 2.1\nName: llm-modeltest\nVersion: 0.1.0\n", encoding="utf-8"
    )
    assert find_installation(root, (), [str(root)]) is None


def test_current_directory_does_not_make_it_installed(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert find_installation(root, (), ["", str(site.folder)]) is None


def test_installation_of_a_removed_checkout_is_none(site: Site, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(root, other)
    site.add_editable(other)
    shutil.rmtree(other)
    assert find_installation(root, (), [str(site.folder)]) is None


def test_extras_asked_for_must_be_there_too(site: Site, root: Path) -> None:
    site.add_editable(root)
    site.add("click", "8.5.1")
    site.add("torch", "2.1.0")
    found = find_installation(root, {"hf"}, [str(site.folder)])
    assert found is not None
    assert not found.is_complete


def test_old_version_of_a_requirement_is_enough(site: Site, root: Path) -> None:
    site.add_editable(root)
    site.add("click", "7.0")
    found = find_installation(root, (), [str(site.folder)])
    assert found is not None
    assert found.is_complete


def test_plug_in_added_since_the_installation_makes_it_incomplete(site: Site, root: Path) -> None:
    site.add_editable(root, entry_points=ENTRY_POINTS.replace("fake = engines.fake:FakeEngine", ""))
    site.add("click", "8.5.1")
    found = find_installation(root, (), [str(site.folder)])
    assert found is not None
    assert not found.is_complete


def test_installation_from_a_wheel_is_another_one(site: Site, root: Path) -> None:
    site.add("llm-modeltest", "0.0.9", "click>=8.1", "torch>=2.1; extra == 'hf'")
    site.add("click", "8.5.1")
    (site.folder / "modeltest").mkdir()
    (site.folder / "modeltest" / "__init__.py").touch()
    found = find_installation(root, {"hf"}, [str(site.folder)])
    assert found is not None
    assert found.location == site.folder
    assert not found.is_this_checkout
    assert found.is_complete


def test_other_installation_without_its_requirements_is_incomplete(site: Site, root: Path) -> None:
    site.add("llm-modeltest", "0.0.9", "click>=8.1")
    (site.folder / "modeltest").mkdir()
    (site.folder / "modeltest" / "__init__.py").touch()
    found = find_installation(root, (), [str(site.folder)])
    assert found is not None
    assert not found.is_complete


def test_versions_are_found_by_any_spelling(site: Site) -> None:
    site.add("torch_npu", "2.1.0.post6")
    assert versions_of(["Torch-NPU", "numpy"], [str(site.folder)]) == {"torch-npu": "2.1.0.post6"}


def test_all_versions_takes_the_first_on_the_path_and_skips_remains(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = Site(tmp_path / "system")
    site.add("numpy", "1.26.4")
    system.add("Numpy", "1.20.0")
    system.add("torch", "2.1.0")
    (system.folder / "~orch-2.0.0.dist-info").mkdir()
    site.be_all_there_is(monkeypatch, system)
    assert all_versions() == {"numpy": "1.26.4", "torch": "2.1.0"}


def test_this_projects_own_table_is_readable() -> None:
    project = read_project(HERE)
    assert ("console_scripts", "modeltest", "modeltest.__main__:main") in project.entry_points
    wanted = {requirement.name for requirement in needed(project, {"hf"})}
    assert {"click", "torch", "transformers"} <= wanted
    assert "pytest" not in wanted
    assert "pytest" in {requirement.name for requirement in needed(project, {"dev", "hf"})}


def test_toml_is_read_with_the_copy_pip_carries(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip._vendor.tomli")
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    assert read_project(root).extras["dev"] == ("llm-modeltest[hf]", "pytest>=8.0")
