"""Nothing of ModelTest makes objects, or runs code, of bytes that came over a socket or from a file (C1).

The tree is read, not run: every way to unpickle or evaluate that is found must be in `ALLOWED`, with its
reason, and everything that is allowed must still be there. Tests are left out: they plant pickles, and pass
what they compute to their own processes.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("modeltest", "engines", "reports", "benchmarks", "docs", "datasets")

MODULES = frozenset(
    {
        *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"),
        *("multiprocessing", "concurrent.futures.process", "torch.multiprocessing", "sqlitedict", "xmlrpc"),
    }
)
"""To import one of them is to be able to unpickle; queues and connections of processes do."""

ATTRIBUTES = frozenset(
    {
        *("read_pickle", "unsafe_load", "full_load", "UnsafeLoader", "FullLoader"),
        *("broadcast_object_list", "scatter_object_list", "send_object_list", "recv_object_list"),
        *("all_gather_object", "gather_object", "ProcessPoolExecutor"),
    }
)

BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})

ALLOWED = {
    ("modeltest/convert/state_dict.py", "pickle"): "its error class alone: torch.load gets weights_only",
    ("modeltest/lm_eval/task_files.py", "yaml.load"): "a safe loader that takes every other tag as text",
}
"""What is found and may be, by file, with the reason."""


def found_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of whatever in `source` unpickles or evaluates."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if _is_of(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from ((node.lineno, name) for name in names if _is_of(name))
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in ATTRIBUTES)
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in _called(node))


def _is_of(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:count]) in MODULES for count in range(1, len(parts) + 1))


def _called(call: ast.Call) -> Iterator[str]:
    function = call.func
    named = {one.arg: one.value for one in call.keywords}
    if isinstance(function, ast.Name) and function.id in BUILTINS:
        yield function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        name = f"{function.value.id}.{function.attr}"
        if name == "torch.load" and not _is(named.get("weights_only"), True):
            yield name
        if name == "yaml.load":
            yield name
    if "allow_pickle" in named and not _is(named["allow_pickle"], False):
        yield "allow_pickle"
    for argument in call.args:  # import_module("pickle")
        if (
            isinstance(argument, ast.Constant)
            and argument.value in MODULES
            and _ends_with(function, "import_module")
        ):
            yield str(argument.value)


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _ends_with(function: ast.expr, name: str) -> bool:
    return name in (getattr(function, "attr", None), getattr(function, "id", None))


def test_c1_nothing_unpickles_or_evaluates_but_what_is_allowed():
    places: dict[tuple[str, str], list[int]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for line, name in found_in(path.read_text(encoding="utf-8")):
                places.setdefault((path.relative_to(ROOT).as_posix(), name), []).append(line)
    assert {place: lines for place, lines in places.items() if place not in ALLOWED} == {}
    assert set(ALLOWED) - set(places) == set(), "allowed, and no longer there"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import pickle", "pickle"),
        ("import cloudpickle as safe", "cloudpickle"),
        ("from pickle import loads", "pickle"),
        ("from multiprocessing.connection import Client", "multiprocessing.connection"),
        ("from torch import multiprocessing", "torch.multiprocessing"),
        ("importlib.import_module('dill')", "dill"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=safe)", "torch.load"),
        ("dist.broadcast_object_list([message], src=0)", "broadcast_object_list"),
        ("from torch.distributed import all_gather_object", "all_gather_object"),
        ("numpy.load(path, allow_pickle=True)", "allow_pickle"),
        ("yaml.load(text, Loader=yaml.SafeLoader)", "yaml.load"),
        ("yaml.unsafe_load(text)", "unsafe_load"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
    ],
)
def test_each_way_to_unpickle_is_seen(source, name):
    assert name in [found for _, found in found_in(source)]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "numpy.load(path, allow_pickle=False)",
        "yaml.SafeLoader(text)",
        "model.eval()",
        "re.compile(pattern)",
        "json.loads(text)",
        "from concurrent.futures import ThreadPoolExecutor",
    ],
)
def test_what_is_harmless_is_not(source):
    assert list(found_in(source)) == []
