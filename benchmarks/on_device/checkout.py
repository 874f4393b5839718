"""Makes a checkout usable where nothing can be installed: `python checkout.py FOLDER`.

Engines and tasks are found by entry points, which Python reads from the metadata of a package. They are
written into FOLDER out of pyproject.toml: with FOLDER and the checkout on PYTHONPATH, ModelTest is there as
if it were installed. Says in one line whatever else is missing. Needs the standard library alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

NEEDED = {
    "torch": "torch",
    "transformers": "transformers",
    "click": "click",
    "prometheus-client": "prometheus_client",
    "rich": "rich",
    "accelerate": "accelerate",
    "psutil": "psutil",
    "safetensors": "safetensors",
    "sentencepiece": "sentencepiece",
    "jinja2": "jinja2",
    "tokenizers": "tokenizers",
}
"""What the steps cannot do without: the package, and the module that it brings."""


def main(arguments: list[str]) -> int:
    """Write the metadata into the folder named first; return the exit status."""
    if missing := missing_packages():
        _complain(
            f"{sys.executable} lacks {', '.join(missing)}: install them, or unpack their wheels into a "
            "folder and name it in PYTHONPATH; PYTHON chooses another Python"
        )
        return 1
    for module in ("torch", "transformers"):
        if problem := _import_problem(module):
            _complain(f"{module} cannot be imported by {sys.executable}: {problem}")
            return 1
    write_metadata(Path(arguments[0]))
    return 0


def missing_packages() -> list[str]:
    """Return the needed packages that are absent; nothing is imported."""
    needed = NEEDED if sys.version_info >= (3, 11) else {**NEEDED, "tomli": "tomli"}
    return [package for package, module in needed.items() if find_spec(module) is None]


def write_metadata(folder: Path) -> None:
    """Write what an installer would write of ModelTest, as far as it is read."""
    project = _project()
    version = _version()
    written = folder / f"{project['name'].replace('-', '_')}-{version}.dist-info"
    written.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {version}"]
    (written / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (written / "entry_points.txt").write_text(_entry_points(project["entry-points"]), encoding="utf-8")


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> str:
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items()), ""]
    return "\n".join(lines)


def _project() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    read = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project: dict[str, Any] = read["project"]
    return project


def _version() -> str:
    # Read and not imported, as the package builder does.
    text = (ROOT / "modeltest" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def _import_problem(module: str) -> str | None:
    from importlib import import_module

    try:
        import_module(module)
    except Exception as problem:  # whatever a broken installation raises
        return " ".join(f"{type(problem).__name__}: {problem}".split())[:500]
    return None


def _complain(line: str) -> None:
    sys.stderr.write(f"on_cuda.sh: {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
