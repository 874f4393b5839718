"""Every package that the source imports comes with the base install, an extra, or a vendor's environment."""

import ast
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from modeltest.bootstrap.installed import read_project
from modeltest.bootstrap.requirements import PROJECT

ROOT = Path(__file__).resolve().parents[1]
OURS = {"modeltest", "engines", "reports"}

OF_VENDORS = {"atb_llm": "MindIE", "torch_npu": "CANN's torch", "vllm": "vLLM, installed by its user"}
"""Brought by whoever runs their engine, never by us: engines that need them say why they cannot run."""

DISTRIBUTIONS = {"yaml": "pyyaml"}
"""Of packages that are not called as what brings them."""

USED_BY_LIBRARIES = {
    "accelerate": "transformers, to split a model over ranks",
    "gguf": "transformers, to read the weights of the trained model",
    "psutil": "accelerate",
    "sentencepiece": "transformers, for tokenizers",
}
"""Asked for by an extra though no line of ours imports it."""


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _packages() -> dict[str, str]:
    """Return every package of others that the source imports, with a file that does."""
    found: dict[str, str] = {}
    for folder in sorted(OURS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in _imports(path):
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    found.setdefault(top, str(path.relative_to(ROOT)))
    return found


def _brought() -> set[str]:
    """Return what the base install and the extras for users bring, with what those bring in turn."""
    project = read_project(ROOT)
    lines = [
        *project.dependencies,
        *(line for name, of in project.extras.items() if name != "dev" for line in of),
    ]
    pending = [Requirement(line).name for line in lines]
    found: set[str] = set()
    while pending:
        name = canonicalize_name(pending.pop())
        if name in found or name == PROJECT:
            continue
        found.add(name)
        try:
            asked = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue  # of another Python or system
        pending += [
            one.name
            for one in map(Requirement, asked)
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


@pytest.mark.parametrize(("package", "file"), list(_packages().items()), ids=lambda value: value)
def test_b5_a_package_that_is_imported_comes_with_an_extra(package, file):
    if package not in OF_VENDORS:
        name = canonicalize_name(DISTRIBUTIONS.get(package, package))
        assert name in _brought(), f"{file} imports {package}: no extra brings it"


def test_b5_an_extra_asks_for_nothing_that_is_not_used():
    project = read_project(ROOT)
    lines = [line for name, of in project.extras.items() if name != "dev" for line in of]
    asked = {canonicalize_name(Requirement(line).name) for line in lines}
    used = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in [*_packages(), *USED_BY_LIBRARIES]}
    assert asked - used - {PROJECT} == set()
