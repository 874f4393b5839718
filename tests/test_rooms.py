"""The architecture document is held to the tree, and the import contracts to what they forbid.

`docs/architecture.md` has a row for every folder with what it may import. The imports are read from the
source, and every contract of import-linter is shown to break by an import planted against it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import grimp
import pytest
from doc_blocks import ROOT, section, table_rows
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract

ROOTS = ("modeltest", "engines", "reports")
HELPERS = "helpers"
KINDS = {"layers": LayersContract, "forbidden": ForbiddenContract, "independence": IndependenceContract}
RULES = read_configuration(str(ROOT / "pyproject.toml"))


def folders() -> set[str]:
    """Return every package, as a dotted name."""
    found = {path.parent for root in ROOTS for path in (ROOT / root).rglob("__init__.py")}
    return {".".join(folder.relative_to(ROOT).parts) for folder in found}


@cache
def rooms() -> dict[str, frozenset[str]]:
    """Return, by folder as a dotted name, the folders it may import beside itself, as the document says."""
    found = {}
    for row in table_rows(section(ROOT / "docs" / "architecture.md", "Rooms")):
        allowed = frozenset(allowed_in(row[2]))
        for name in names_of(row[0]):
            found[name.strip("/").replace("/", ".")] = allowed
    return found


def names_of(cell: str) -> list[str]:
    return cell.split("`")[1::2]


def allowed_in(cell: str) -> Iterator[str]:
    names = [name.replace("/", ".") for name in names_of(cell)]
    whole, _, but = cell.partition(" but ")
    if whole.startswith("all of"):
        excluded = {f"modeltest.{name}" for name in names_of(but)}
        root = names[0]
        yield from (name for name in folders() if name.split(".")[0] == root and name not in excluded)
        return
    for name in names:
        yield "modeltest" if name == HELPERS else name if name.split(".")[0] in ROOTS else f"modeltest.{name}"
    if "all of `engines/hf`" in cell:
        yield from (name for name in folders() if name.startswith("engines.hf"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(name: str) -> str:
    """Return the folder that holds the module or the name `name`."""
    parts = name.split(".")
    while not (ROOT.joinpath(*parts) / "__init__.py").exists():
        parts.pop()
    return ".".join(parts)


def wrong_imports(folder: str, names: set[str], allowed: frozenset[str]) -> set[str]:
    ours = {folder_of(name) for name in names if name.split(".")[0] in ROOTS}
    return ours - allowed - {folder}


def names_imported_in(folder: str) -> set[str]:
    return {name for path in ROOT.joinpath(*folder.split(".")).glob("*.py") for name in imported(path)}


def test_the_document_names_every_folder_and_no_other():
    assert rooms().keys() == folders()


@pytest.mark.parametrize("folder", sorted(folders()))
def test_a_folder_imports_what_the_document_says_and_nothing_else(folder):
    allowed = rooms()[folder]
    assert wrong_imports(folder, names_imported_in(folder), allowed) == set()
    planted = folders() - allowed - {folder}
    assert wrong_imports(folder, {f"{name}.planted" for name in planted}, allowed) == planted


def rows_one_by_one() -> list[tuple[list[str], list[str]]]:
    """Return the folders of each row, and those it names as allowed; rows of whole roots are left out."""
    rows = table_rows(section(ROOT / "docs" / "architecture.md", "Rooms"))
    return [
        (
            [name.strip("/").replace("/", ".") for name in names_of(row[0])],
            sorted(set(allowed_in(row[2])) - {"modeltest"}),  # helpers: any of them may be meant
        )
        for row in rows
        if "all of" not in row[2]
    ]


@pytest.mark.parametrize(("row", "allowed"), rows_one_by_one())
def test_what_the_document_allows_is_imported_by_a_folder_of_the_row(row, allowed):
    names = {name for folder in row for name in names_imported_in(folder) if name.split(".")[0] in ROOTS}
    assert set(allowed) <= {folder_of(name) for name in names}


def contracts() -> Iterator[tuple[str, dict, str, str]]:
    """Yield each contract with an import that breaks it, for every direction that it forbids."""
    for options in RULES["contracts_options"]:
        for importer, imported_module in wrong_of(options):
            yield options["name"], options, importer, imported_module


def wrong_of(options: dict) -> Iterator[tuple[str, str]]:
    if options["type"] == "layers":
        for container in options["containers"]:
            rows = [[each.strip() for each in layer.split("|")] for layer in options["layers"]]
            for above, below in pairwise(rows):
                yield f"{container}.{below[0]}", f"{container}.{above[0]}"
            for row in rows:
                yield from ((f"{container}.{row[0]}", f"{container}.{other}") for other in row[1:])
    elif options["type"] == "forbidden":
        for source in options["source_modules"]:
            yield from ((source, forbidden) for forbidden in options["forbidden_modules"])
    else:
        first, second = options["modules"]
        yield from ((first, second), (second, first))


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*ROOTS, include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize(
    ("options", "importer", "planted"),
    [
        pytest.param(options, importer, planted, id=f"{importer} imports {planted}")
        for _, options, importer, planted in contracts()
    ],
)
def test_an_import_planted_against_a_contract_breaks_it(graph, options, importer, planted):
    contract = KINDS[options["type"]](
        name=options["name"], session_options=RULES["session_options"], contract_options=options
    )
    wrong = f"{importer}.planted" if is_package(importer) else importer
    added = [name for name in (wrong, planted) if name not in graph.modules]
    for name in added:
        graph.add_module(name, is_squashed="." not in name and name not in ROOTS)
    graph.add_import(importer=wrong, imported=planted)
    try:
        assert not contract.check(graph, verbose=False).kept
    finally:
        graph.remove_import(importer=wrong, imported=planted)
        for name in added:
            graph.remove_module(name)
    assert contract.check(graph, verbose=False).kept


def is_package(name: str) -> bool:
    return ROOT.joinpath(*name.split(".")).is_dir()


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by name alone: a second one is an error, which a run of one folder never sees."""
    seen: dict[str, Path] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        assert path.name not in seen, f"{path} and {seen[path.name]}"
        seen[path.name] = path
