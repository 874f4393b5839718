from dataclasses import replace
from pathlib import Path

from shown_results import ACCURACY, RESULT

from modeltest.tables import print_result, print_rows


def test_paths_of_the_files_are_printed_but_not_of_those_being_written(tmp_path: Path, capsys):
    for name in ("run.json", ".run.json.123.tmp"):
        (tmp_path / name).write_text("")
    print_result(replace(RESULT, summary=ACCURACY), tmp_path)
    out = capsys.readouterr().out
    assert f"{tmp_path}/run.json\n" in out
    assert ".tmp" not in out


def test_long_cells_are_folded_never_cut(capsys):
    print_rows(("name", "what"), [("a", "word " * 60)])
    assert capsys.readouterr().out.count("word") == 60
