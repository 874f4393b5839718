"""A folder of made-up distributions: nothing has to be installed to be found."""

from __future__ import annotations

import importlib
import json
import sys
import sysconfig
from pathlib import Path

import pytest

# What the bootstrap imports late must be there when only made-up distributions are on the path.
for module in ("packaging.requirements", "packaging.version"):
    importlib.import_module(module)
importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

PYPROJECT = """
[project]
name = "llm-modeltest"
dependencies = ["click>=8.1", "tomli>=2.0; python_version < '3.0'"]
[project.optional-dependencies]
hf = ["torch>=2.1", "transformers>=4.46", "sentencepiece>=0.2"]
dev = ["llm-modeltest[hf]", "pytest>=8.0"]
[project.scripts]
modeltest = "modeltest.cli:main"
[project.entry-points."modeltest.engines"]
fake = "engines.fake:FakeEngine"
"""

ENTRY_POINTS = """\
[console_scripts]
modeltest = modeltest.cli:main

[modeltest.engines]
fake = engines.fake:FakeEngine
"""


class Site:
    """A site-packages folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def add(self, name: str, version: str, *requires: str) -> Path:
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return info

    def be_all_there_is(self, monkeypatch: pytest.MonkeyPatch, *further: Site) -> None:
        """Make `sys.path` this site, the further ones and the standard library."""
        standard = Path(sysconfig.get_path("stdlib"))
        folders = [self.folder, *(site.folder for site in further), standard, standard / "lib-dynload"]
        monkeypatch.setattr(sys, "path", [str(folder) for folder in folders])

    def add_editable(
        self, root: Path, *, entry_points: str = ENTRY_POINTS, name: str = "llm-modeltest"
    ) -> Path:
        info = self.add(name, "0.1.0")
        record = {"url": root.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(record), encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        return info
