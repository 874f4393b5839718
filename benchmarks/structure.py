"""Measures how the source is cut: files per folder, lines, functions, the import graph.

python benchmarks/structure.py

Imports are those anywhere in a module, in functions and under TYPE_CHECKING too; an import of a name counts
as one of the module that the name is imported from.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("modeltest", "engines", "reports")

CROWDED_FOLDER = 20
"""With more files a folder is crowded: it is told, and no limit."""

MAX_MODULE_LINES = 400
LISTS_OF_NAMES = ("modeltest.api",)
"""Modules that only gather what others define: nobody reads them from top to bottom."""

MAX_FUNCTION_P90 = 20
MAX_CHAIN = 20

Imports = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, folder, lines, the lengths of its functions and what it imports."""

    name: str
    folder: str
    lines: int
    functions: tuple[int, ...]
    imported: frozenset[str]
    """Dotted names as they are written: of modules, or of what is in one."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of a tree."""

    folders: Mapping[str, int]
    """Files of each folder, the fullest first."""

    largest: Module
    function_p90: float
    longest_function: int
    chain: tuple[str, ...]
    """The longest way along imports that enters no module twice; modules in one cycle count as one."""

    cycles: tuple[frozenset[str], ...]
    """Modules that import one another, directly or by others."""


def measure(root: Path, packages: Sequence[str] = PACKAGES) -> Figures:
    """Return the figures of `packages` in `root`."""
    modules = [_read(root, path) for package in packages for path in sorted((root / package).rglob("*.py"))]
    graph = import_graph(modules)
    groups = groups_of(graph)
    lengths = [length for module in modules for length in module.functions]
    return Figures(
        folders=dict(Counter(module.folder for module in modules).most_common()),
        largest=max(
            (module for module in modules if module.name not in LISTS_OF_NAMES),
            key=lambda module: module.lines,
        ),
        function_p90=quantiles(lengths, n=10)[-1],
        longest_function=max(lengths),
        chain=longest_chain(graph, groups),
        cycles=tuple(group for group in groups if len(group) > 1),
    )


def _read(root: Path, path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    parts = path.relative_to(root).with_suffix("").parts
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return Module(
        name=".".join(parts[:-1] if parts[-1] == "__init__" else parts),
        folder="/".join(parts[:-1]),
        lines=text.count("\n"),
        functions=tuple((node.end_lineno or node.lineno) - node.lineno + 1 for node in functions),
        imported=frozenset(_imported(tree)),
    )


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph(modules: Sequence[Module]) -> Imports:
    """Return which of `modules` each of them imports."""
    names = {module.name for module in modules}
    return {module.name: frozenset(_modules_of(module.imported, names)) - {module.name} for module in modules}


def _modules_of(imported: frozenset[str], names: set[str]) -> Iterator[str]:
    for name in imported:
        if name in names:
            yield name
        elif (package := name.rpartition(".")[0]) in names:
            yield package


def groups_of(graph: Imports) -> list[frozenset[str]]:
    """Return the modules in groups that import one another, imported groups before their importers.

    Most are of one module. Source: Tarjan, Depth-first search and linear graph algorithms (1972).
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[frozenset[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            begin = stack.index(name)
            groups.append(frozenset(stack[begin:]))
            del stack[begin:]

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return groups


def longest_chain(graph: Imports, groups: Sequence[frozenset[str]]) -> tuple[str, ...]:
    """Return a longest chain of modules of which each imports the next; of a group, one module."""
    group_of = {name: group for group in groups for name in group}
    chains: dict[frozenset[str], tuple[str, ...]] = {}
    for group in groups:
        below = {group_of[other] for name in group for other in graph[name]} - {group}
        rest = max((chains[other] for other in below), key=lambda chain: (len(chain), chain), default=())
        chains[group] = (min(group), *rest)
    return max(chains.values(), key=len)


def _told(figures: Figures) -> Iterator[str]:
    crowded = {folder: files for folder, files in figures.folders.items() if files > CROWDED_FOLDER}
    yield f"folders: {len(figures.folders)}, files: {sum(figures.folders.values())}"
    yield f"folders of more than {CROWDED_FOLDER} files: " + (
        ", ".join(f"{folder} {files}" for folder, files in crowded.items()) or "none"
    )
    largest = figures.largest
    yield f"largest module: {largest.name}, {largest.lines} lines (at most {MAX_MODULE_LINES})"
    yield (
        f"lines of a function: {figures.function_p90:g} at the 90th percentile (at most {MAX_FUNCTION_P90}), "
        f"{figures.longest_function} at most"
    )
    yield f"longest import chain: {len(figures.chain)} modules (at most {MAX_CHAIN}): " + " > ".join(
        figures.chain
    )
    yield f"cycles: {len(figures.cycles)} (none)"
    yield from ("  " + " ".join(sorted(group)) for group in figures.cycles)


def main() -> None:
    """Print the figures of this checkout."""
    print("\n".join(_told(measure(ROOT))))


if __name__ == "__main__":
    main()
