"""What `import modeltest` offers, and what it costs: counted in modules, which no busy machine changes."""

import json
import subprocess
import sys

import pytest

import modeltest
from modeltest import _HOMES

HEAVY = {"torch", "transformers", "pandas", "numpy", "matplotlib", "click", "rich", "yaml", "asyncio"}

SHOW = "import json, sys; before = set(sys.modules); {}; print(json.dumps(sorted(set(sys.modules) - before)))"


def modules_after(statement: str) -> list[str]:
    """Return the modules that a fresh interpreter imports for `statement`."""
    ended = subprocess.run(
        [sys.executable, "-c", SHOW.format(statement)], check=True, capture_output=True, text=True
    )
    found: list[str] = json.loads(ended.stdout)
    return found


def test_importing_the_package_imports_nothing_heavy_and_little_at_all():
    found = modules_after("import modeltest")
    assert {name.partition(".")[0] for name in found} & HEAVY == set()
    assert [name for name in found if name.startswith("modeltest")] == ["modeltest", "modeltest.version"]
    assert len(found) < 20


@pytest.mark.parametrize("name", sorted(set(modeltest.__all__) - {"__version__"}))
def test_a_public_name_is_imported_when_it_is_asked_for(name):
    value = getattr(modeltest, name)
    assert value.__doc__
    assert vars(modeltest)[name] is value
    assert name in dir(modeltest)


def test_every_public_name_has_a_home_and_no_other_has():
    assert {*_HOMES, "__version__"} == set(modeltest.__all__)


def test_reading_a_run_needs_no_engine_and_no_table_of_pandas():
    found = {name.partition(".")[0] for name in modules_after("from modeltest import load_run, compare_runs")}
    assert found & {"torch", "transformers", "pandas", "matplotlib"} == set()


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'modeltest' has no attribute 'evaluat'"):
        _ = modeltest.evaluat
