"""What the running Python has installed, read from distribution metadata.

An importable folder in the current directory is not an installation: nothing here tries imports, and
what a build left behind in the checkout itself does not count.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.requirements import (
    FORMER,
    PROJECT,
    Project,
    missing,
    needed,
    needed_by_metadata,
    normal_name,
    project_of,
)

ENGINES_GROUP = "modeltest.engines"
"""What tells ModelTest from another project of its former name: no other one declares engines."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The ModelTest found in this Python."""

    location: Path
    is_this_checkout: bool
    is_complete: bool
    """Every requirement is present and the entry points are those of today's pyproject.toml."""

    is_checkout: bool = True
    """Whether it is a checkout that was installed to be edited, or a copy made of a wheel."""


def read_project(root: Path) -> Project:
    """Read the checkout's pyproject.toml."""
    return project_of(_toml_module().loads((root / "pyproject.toml").read_text(encoding="utf-8")))


def find_installation(
    root: Path, extras: Iterable[str], search_path: Sequence[str] | None = None
) -> Installation | None:
    """Return the ModelTest installed on the search path, `None` if there is none or its files are gone.

    `extras` are looked at only for an installation of this checkout: another one is taken as it is.
    """
    path = [entry for entry in _path(search_path) if os.path.realpath(entry) != str(root)]
    distribution = _distribution(PROJECT, path) or _of_former_name(path)
    if distribution is None:
        return None
    editable = _edited_folder(distribution)
    location = editable or Path(str(distribution.locate_file("")))
    if not (location / "modeltest" / "__init__.py").is_file():
        return None
    is_this_checkout = location.samefile(root)
    if is_this_checkout:
        project = read_project(root)
        requirements = needed(project, extras)
        # Under its former name it is another's for pip: it has to be installed again.
        is_current = _has_name(distribution, PROJECT) and _entry_points(distribution) == project.entry_points
    else:
        requirements = needed_by_metadata(distribution.requires or ())
        is_current = True
    lacking = missing(requirements, versions_of((item.name for item in requirements), path))
    return Installation(
        location,
        is_this_checkout=is_this_checkout,
        is_complete=is_current and not lacking,
        is_checkout=editable is not None,
    )


def has_former_name(search_path: Sequence[str] | None = None) -> bool:
    """Say whether a ModelTest is installed under the name it had before."""
    return _of_former_name(_path(search_path)) is not None


def namesake_version(search_path: Sequence[str] | None = None) -> str | None:
    """Return the installed version of the other project called `modeltest`, whose import name is ours.

    `None` where it is not installed.
    """
    found = _distribution(FORMER, _path(search_path))
    return None if found is None or _is_ours(found) else found.version


def versions_of(names: Iterable[str], search_path: Sequence[str] | None = None) -> dict[str, str]:
    """Return the versions of those distributions among `names` that are installed, by normal name."""
    found = {normal_name(name): _distribution(name, _path(search_path)) for name in names}
    return {name: distribution.version for name, distribution in found.items() if distribution is not None}


def all_versions() -> dict[str, str]:
    """Return every installed distribution's version by normal name; the first on `sys.path` counts."""
    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        # A half-removed distribution has a folder but no metadata.
        if "Name" in distribution.metadata and "Version" in distribution.metadata:
            versions.setdefault(normal_name(distribution.metadata["Name"]), distribution.version)
    return versions


def _path(search_path: Sequence[str] | None) -> Sequence[str]:
    return sys.path if search_path is None else search_path


def _distribution(name: str, search_path: Sequence[str]) -> metadata.Distribution | None:
    return next(iter(metadata.Distribution.discover(name=name, path=list(search_path))), None)


def _entry_points(distribution: metadata.Distribution) -> frozenset[tuple[str, str, str]]:
    return frozenset((point.group, point.name, point.value) for point in distribution.entry_points)


def _of_former_name(search_path: Sequence[str]) -> metadata.Distribution | None:
    found = _distribution(FORMER, search_path)
    return found if found is not None and _is_ours(found) else None


def _is_ours(distribution: metadata.Distribution) -> bool:
    return any(point.group == ENGINES_GROUP for point in distribution.entry_points)


def _has_name(distribution: metadata.Distribution, name: str) -> bool:
    return normal_name(distribution.metadata["Name"]) == name


def _edited_folder(distribution: metadata.Distribution) -> Path | None:
    """Return the checkout behind an editable installation, `None` for a copy."""
    record = json.loads(distribution.read_text("direct_url.json") or "{}")
    if record.get("dir_info", {}).get("editable"):
        return Path(unquote(urlsplit(record["url"]).path))
    return None


def _toml_module() -> Any:
    # Python 3.10 has none of its own, but pip carries one.
    for name in ("tomllib", "tomli", "pip._vendor.tomli"):
        with suppress(ImportError):
            return import_module(name)
    raise NotReady(f"{sys.executable} has no pip; '{sys.executable} -m ensurepip' may bring it")
