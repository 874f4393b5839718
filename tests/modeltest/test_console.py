"""What is printed stands as it is."""

import re
from io import StringIO
from pathlib import Path

from rich.table import Table
from rich.text import Text

from modeltest.console import plain_console
from modeltest.tables import print_rows

ROOT = Path(__file__).resolve().parents[2]
TRAPS = ("pip install '/w[hf]'", "[red]not a colour[/red]", "[/]", "[link=x]y", ":warning: :smile:", "a\\[b]")


def test_c9_a_table_swallows_nothing(capsys):
    print_rows(("[bold]what[/bold]", "found"), [("x[dev]", trap) for trap in TRAPS])
    printed = capsys.readouterr().out
    for text in (*TRAPS, "[bold]what[/bold]", "x[dev]"):
        assert text in printed


def test_what_is_to_have_a_colour_is_a_text():
    file = StringIO()
    table = Table(title="[hf]")
    table.add_column("[dev]")
    table.add_row(Text("PASS", "green"))
    plain_console(width=40, file=file).print(table, "[red]")
    for text in ("[hf]", "[dev]", "PASS", "[red]"):
        assert text in file.getvalue()


def test_no_other_console_is_made_and_no_text_is_read_as_markup():
    wrong = re.compile(r"\bConsole\(|rich\.markup|from_markup|rich\.print|markup=True")
    for folder in ("modeltest", "reports", "engines"):
        for path in (ROOT / folder).rglob("*.py"):
            found = wrong.findall(path.read_text(encoding="utf-8"))
            assert path.name == "console.py" or found == [], path


def test_a_live_bar_reads_no_markup():
    source = (ROOT / "modeltest" / "run" / "supervisor" / "progress.py").read_text()
    assert source.count("TextColumn(") == source.count("markup=False")
