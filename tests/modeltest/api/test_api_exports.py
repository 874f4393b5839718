"""What is in the contracts is public: everything is exported, and nothing else of the project is needed."""

import ast
from pathlib import Path

import modeltest.api

FOLDER = Path(modeltest.api.__file__).parent


def public_names(path: Path) -> set[str]:
    """Return the names that a module defines at its top and that do not begin with an underscore."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def test_every_public_name_of_the_contracts_is_exported_and_no_other():
    modules = [path for path in FOLDER.glob("*.py") if path.name != "__init__.py"]
    assert set(modeltest.api.__all__) == set().union(*map(public_names, modules)) - {"T"}


def test_no_name_is_defined_twice():
    found = [
        name for path in FOLDER.glob("*.py") for name in public_names(path) if path.name != "__init__.py"
    ]
    assert len(found) == len(set(found))
