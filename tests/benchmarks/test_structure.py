"""Figures of a made tree, and the limits that the source keeps to."""

import pytest
from structure import MAX_CHAIN, MAX_FUNCTION_P90, MAX_MODULE_LINES, PACKAGES, ROOT, main, measure


@pytest.fixture
def tree(tmp_path):
    """Three modules that import one another in a row, and a package of two in a cycle below them."""
    files = {
        "house/__init__.py": "",
        "house/attic.py": "from house.hall import door\n",
        "house/hall.py": "import os\nfrom house import stairs\n\n\ndef door():\n    return 1\n",
        "house/stairs.py": "def climb():\n    from house.cellar import left\n    return left\n",
        "house/cellar/__init__.py": "",
        "house/cellar/left.py": "import house.cellar.right\n",
        "house/cellar/right.py": (
            "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from house.cellar.left import wall\n"
        ),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_cycle_is_found_though_half_of_it_is_for_types_alone(tree):
    assert measure(tree, ("house",)).cycles == ({"house.cellar.left", "house.cellar.right"},)


def test_the_longest_chain_follows_imports_in_functions_and_counts_a_cycle_once(tree):
    chain = measure(tree, ("house",)).chain
    assert chain == ("house.attic", "house.hall", "house.stairs", "house.cellar.left")


def test_files_lines_and_functions_are_counted(tree):
    figures = measure(tree, ("house",))
    assert figures.folders == {"house": 4, "house/cellar": 3}
    assert (figures.largest.name, figures.largest.lines) == ("house.hall", 6)
    assert figures.longest_function == 3


def test_the_source_keeps_to_the_limits():
    figures = measure(ROOT, PACKAGES)
    assert figures.cycles == ()
    assert len(figures.chain) <= MAX_CHAIN
    assert figures.largest.lines <= MAX_MODULE_LINES
    assert figures.function_p90 <= MAX_FUNCTION_P90


def test_the_script_tells_its_figures(capsys):
    main()
    assert "longest import chain" in capsys.readouterr().out
