"""What stands in the way of installing this checkout into an environment that holds something of its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from modeltest.bootstrap.installed import find_installation, has_former_name, namesake_version
from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.pip import pip_uninstall
from modeltest.bootstrap.requirements import FORMER, PROJECT


def packages_of(venv: Path) -> list[str]:
    """Return the folders of a virtual environment in which packages lie; of one Python there is one."""
    return [str(path) for path in sorted(venv.glob("lib/python3*/site-packages"))]


def refuse_namesake(python: str, search_path: Sequence[str] | None = None) -> None:
    """Refuse an environment that holds the other project called `modeltest`: `import modeltest` would be it.

    Raises: NotReady.
    """
    version = namesake_version(search_path)
    if version is not None:
        raise NotReady(
            f"{python} has modeltest {version} from PyPI, another project whose import name is the same: "
            f"remove it (`{python} -m pip uninstall {FORMER}`), or name another environment with "
            "MODELTEST_VENV or another Python with MODELTEST_PYTHON"
        )


def refuse_other_checkout(
    root: Path, python: str, *, prefix: Path, search_path: Sequence[str] | None = None
) -> None:
    """Refuse to point an environment at this checkout that another checkout works with.

    One that lies in this checkout is its own, whatever it was copied from.

    Raises: NotReady naming both.
    """
    found = find_installation(root, (), search_path)
    if found is None or found.is_this_checkout or not found.is_checkout:
        return
    if Path(os.path.realpath(prefix)).is_relative_to(os.path.realpath(root)):
        return
    name = FORMER if has_former_name(search_path) else PROJECT
    raise NotReady(
        f"{prefix} is the environment of the checkout {found.location}, and this checkout is {root}: "
        f"start {found.location / 'run.sh'}, or name another place in MODELTEST_VENV, or free the "
        f"environment first: {python} -m pip uninstall {name}"
    )


def remove_former(python: str, root: Path, search_path: Sequence[str] | None = None) -> None:
    """Remove a ModelTest that is installed under its former name: both would own the same files.

    Raises: CommandFailed.
    """
    if has_former_name(search_path):
        pip_uninstall(python, FORMER, root=root, what=f"removing ModelTest under its former name {FORMER}")
