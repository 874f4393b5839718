"""The advice on what to install, run as it is printed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modeltest.bootstrap.installed import read_project
from modeltest.bootstrap.requirements import PROJECT
from modeltest.installation import DISTRIBUTION, install_command, pip_command

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = sorted(read_project(ROOT).extras)
TEXTS = ("*.py", "*.md", "*.toml", "*.sh", "*.yml", "*.html")


def test_the_distribution_is_called_the_same_everywhere():
    assert f'\nname = "{DISTRIBUTION}"\n' in (ROOT / "pyproject.toml").read_text()
    assert PROJECT == DISTRIBUTION


@pytest.mark.parametrize("extra", EXTRAS)
def test_c9_the_advice_of_a_checkout_names_its_path_and_an_extra_that_it_has(extra):
    from pip._internal.req.constructors import parse_editable

    words = shlex.split(install_command(extra))
    assert words[:-1] == [sys.executable, "-m", "pip", "install", "-e"]
    _, url, extras = parse_editable(words[-1])  # refuses a folder that is no project
    assert url == ROOT.as_uri()
    assert extras == {extra}


@pytest.fixture
def wheel(tmp_path):
    """Return a folder in which ModelTest lies as from a wheel."""
    site = tmp_path / "site-packages"
    (site / "modeltest").mkdir(parents=True)
    (site / "modeltest" / "__init__.py").touch()
    source = (ROOT / "modeltest" / "installation.py").read_text()
    (site / "modeltest" / "installation.py").write_text(source)
    info = site / f"{DISTRIBUTION.replace('-', '_')}-9.9.9.dist-info"
    info.mkdir()
    lines = [f"Name: {DISTRIBUTION}", "Version: 9.9.9", "Provides-Extra: suite", "Provides-Extra: other"]
    lines += ["Requires-Dist: pyyaml>=6.0; extra == 'suite'", "Requires-Dist: no-such-one; extra == 'other'"]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines]) + "\n")
    return site


def test_c9_the_advice_of_a_wheel_works_as_printed(wheel, tmp_path):
    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(wheel)}, capture_output=True, text=True, check=False
        )

    code = "import sys; from modeltest.installation import install_command as c; print(c(sys.argv[1]))"
    printed = {extra: run(sys.executable, "-c", code, extra).stdout.strip() for extra in ("suite", "other")}
    assert printed["suite"] == f"{sys.executable} -m pip install '{DISTRIBUTION}[suite]'"
    offline = ["--dry-run", "--no-index", "--disable-pip-version-check"]
    # No index holds ModelTest, so pip must take the one that is installed; the extra is here already.
    done = run(*shlex.split(printed["suite"]), *offline)
    assert done.returncode == 0, done.stderr
    assert f"Requirement already satisfied: {DISTRIBUTION}[suite]" in done.stdout
    done = run(*shlex.split(printed["other"]), *offline)
    assert "No matching distribution found for no-such-one" in done.stderr


@pytest.mark.network
def test_c9_the_advice_of_a_checkout_works_as_printed():
    command = [*shlex.split(install_command("suite")), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Would install {DISTRIBUTION}" in done.stdout


def test_what_a_shell_would_take_apart_is_quoted():
    assert pip_command("a>=1,<2", "b==1.*", "c") == f"{sys.executable} -m pip install 'a>=1,<2' 'b==1.*' c"


def test_c9_no_advice_names_the_project_of_another():
    """`modeltest[hf]` and `pip install modeltest` would bring another project."""
    wrong = re.compile(r"(?<!llm-)\bmodeltest\[\w|pip install (-\S+ )*['\"]?modeltest\b")
    files = [path for text in TEXTS for path in ROOT.rglob(text)]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if not {".venv", ".git", Path(__file__).name} & {*path.parts}
        for match in wrong.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
