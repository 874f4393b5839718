"""constraints.txt pins all that the project can bring along, on every Python it supports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from modeltest.bootstrap.installed import read_project
from modeltest.bootstrap.requirements import PROJECT, requirement_lines

CHECKOUT = Path(__file__).resolve().parents[1]
TEXT = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")
PINS = [Requirement(line) for line in requirement_lines(TEXT)]
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def pinned(python: str) -> dict[str, list[str]]:
    """Return the versions that hold on a Python, by distribution."""
    versions: dict[str, list[str]] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            versions.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier))
    return versions


def asked_for(python: str) -> Iterator[Requirement]:
    project = read_project(CHECKOUT)
    for line in [*project.dependencies, *(line for lines in project.extras.values() for line in lines)]:
        requirement = Requirement(line)
        if requirement.name != PROJECT and (
            requirement.marker is None or requirement.marker.evaluate({"python_version": python, "extra": ""})
        ):
            yield requirement


def test_every_line_pins_one_version() -> None:
    for pin in PINS:
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert "*" not in specifier.version
        assert "+" not in specifier.version, "a local build is not to be had elsewhere"
        assert not pin.extras
        assert pin.url is None


def test_torch_is_the_version_the_project_was_checked_with() -> None:
    assert all(pinned(python)["torch"] == ["==2.13.0"] for python in PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_each_distribution_has_at_most_one_version(python: str) -> None:
    assert {name: found for name, found in pinned(python).items() if len(found) > 1} == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_to_a_version_it_allows(python: str) -> None:
    pins = pinned(python)
    for requirement in asked_for(python):
        (version,) = (found.removeprefix("==") for found in pins[canonicalize_name(requirement.name)])
        assert requirement.specifier.contains(version), requirement


def test_lines_are_sorted_and_point_nowhere() -> None:
    names = [canonicalize_name(pin.name) for pin in PINS]
    assert names == sorted(names)
    assert "://" not in TEXT
    assert not any(line.startswith("-") for line in TEXT.splitlines())


def test_all_that_came_along_here_is_pinned() -> None:
    """Walks what the installed distributions require of each other, from the project's own requirements."""
    pending = {requirement.name for requirement in asked_for(THIS_PYTHON)}
    seen: set[str] = set()
    while pending:
        name = canonicalize_name(pending.pop())
        if name in seen:
            continue
        seen.add(name)
        pending.update(_requirements_of(name))
    assert seen - set(pinned(THIS_PYTHON)) == set()


def _requirements_of(name: str) -> Iterator[str]:
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
