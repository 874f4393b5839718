"""What a Python lacks, and the constraints under which it may be given just that. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from modeltest.bootstrap.messages import NotReady

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PROJECT = "llm-modeltest"

FORMER = "modeltest"
"""What the distribution was called before. On PyPI that is another project, with the same import name."""


@dataclass(frozen=True, slots=True)
class Project:
    """What pyproject.toml says that matters to an installation."""

    dependencies: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]]
    entry_points: frozenset[tuple[str, str, str]]
    """(group, name, value); console scripts among them."""


def normal_name(name: str) -> str:
    """Return the spelling under which distributions are compared: `Torch_NPU` is `torch-npu`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project_of(pyproject: Mapping[str, Any]) -> Project:
    """Read the tables of a parsed pyproject.toml."""
    table = pyproject["project"]
    groups = {"console_scripts": table.get("scripts", {}), **table.get("entry-points", {})}
    return Project(
        dependencies=tuple(table.get("dependencies", ())),
        extras={name: tuple(lines) for name, lines in table.get("optional-dependencies", {}).items()},
        entry_points=frozenset(
            (group, name, value) for group, points in groups.items() for name, value in points.items()
        ),
    )


def needed(project: Project, extras: Iterable[str]) -> tuple[Requirement, ...]:
    """Return what the project and `extras` ask of this Python, in order; markers decided, extras unfolded."""
    lines: list[str] = list(project.dependencies)
    pending, unfolded = sorted(extras), set[str]()
    found: dict[str, Requirement] = {}
    while lines or pending:
        if not lines:
            extra = pending.pop(0)
            if extra not in unfolded:
                unfolded.add(extra)
                lines.extend(project.extras[extra])
            continue
        requirement = parse(lines.pop(0))
        if normal_name(requirement.name) == PROJECT:
            pending.extend(sorted(requirement.extras))
        elif applies(requirement):
            found.setdefault(str(requirement), requirement)
    return tuple(found.values())


def needed_by_metadata(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """Return what an installed distribution's `Requires-Dist` lines ask of this Python, without extras."""
    return tuple(requirement for requirement in map(parse, lines) if applies(requirement))


def missing(requirements: Iterable[Requirement], installed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the requirements, fit for pip's command line, of which no version at all is installed."""
    return tuple(
        f"{requirement.name}{requirement.specifier}"
        for requirement in requirements
        if normal_name(requirement.name) not in installed
    )


def unsuitable(requirements: Iterable[Requirement], installed: Mapping[str, str]) -> tuple[str, ...]:
    """Return a phrase for each installed version the project does not ask for; it is left as it is."""
    phrases = []
    for requirement in requirements:
        version = installed.get(normal_name(requirement.name))
        if version is not None and not _contains(requirement, version):
            phrases.append(f"{requirement.name} {version} (asked for: {requirement.specifier})")
    return tuple(phrases)


def pins(installed: Mapping[str, str]) -> tuple[str, ...]:
    """Return constraints that keep every installed distribution at its version, the project itself apart."""
    return tuple(
        f"{name}{'==' if _is_version(version) else '==='}{version}"
        for name, version in sorted(installed.items())
        if name not in (PROJECT, FORMER)
    )


def merged_constraints(constraints: str, installed: Mapping[str, str]) -> str:
    """Return the text of a constraints file: installed versions kept, all others as `constraints` says."""
    others = [line for line in requirement_lines(constraints) if _name_in(line) not in installed]
    return "".join(f"{line}\n" for line in [*pins(installed), *others])


def requirement_lines(constraints: str) -> Sequence[str]:
    """Return the lines of a constraints file that constrain something."""
    stripped = (line.split(" #")[0].strip() for line in constraints.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def parse(line: str) -> Requirement:
    """Parse one requirement with whichever `packaging` this Python has."""
    return _packaging("requirements").Requirement(line)  # type: ignore[no-any-return]


def applies(requirement: Requirement) -> bool:
    """Say whether the requirement's marker holds here when no extra is asked for."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _packaging(module: str) -> Any:
    # A bare Python has the copy that pip carries and no other.
    for package in ("packaging", "pip._vendor.packaging"):
        with suppress(ImportError):
            return import_module(f"{package}.{module}")
    raise NotReady(f"{sys.executable} has no pip; '{sys.executable} -m ensurepip' may bring it")


def _is_version(text: str) -> bool:
    versions = _packaging("version")
    try:
        versions.Version(text)
    except versions.InvalidVersion:
        return False
    return True


def _contains(requirement: Requirement, version: str) -> bool:
    # A vendor's build may carry a version that cannot be compared; it is not ours to judge.
    return not _is_version(version) or requirement.specifier.contains(version, prereleases=True)


def _name_in(line: str) -> str:
    return normal_name(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])
