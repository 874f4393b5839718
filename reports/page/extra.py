"""The optional packages behind pages and plots: an installation without them still measures."""

from __future__ import annotations

from importlib.util import find_spec

from modeltest.api import MissingExtra
from modeltest.installation import install_command

EXTRA = "report"


def require_packages(what: str, *packages: str) -> None:
    """Make sure that `packages` are installed before `what` is begun; none of them is imported.

    Raises: MissingExtra naming the first one that is not.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtra(
                f"{what} left out: {package} is not installed; `{install_command(EXTRA)}` brings it"
            )
