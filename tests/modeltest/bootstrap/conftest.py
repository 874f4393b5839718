from __future__ import annotations

from pathlib import Path

import pytest
from fake_site import PYPROJECT, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "lib" / "site-packages")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout in a folder with a blank in its name."""
    folder = tmp_path / "check out"
    (folder / "modeltest").mkdir(parents=True)
    (folder / "modeltest" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "constraints.txt").write_text("click==8.5.1\nsentencepiece==0.2.3\n", encoding="utf-8")
    return folder
