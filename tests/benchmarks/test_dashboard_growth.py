import pytest
from click.testing import CliRunner

pytest.importorskip("jinja2")


def test_every_kind_of_run_is_added_to_the_site_and_timed(tmp_path):
    from dashboard_growth import main

    words = ["--runs", "2", "--rounds", "1", "--questions", "60", "--most-questions", "61"]
    words += ["--work-dir", str(tmp_path)]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 runs; first build: ")
    assert lines[0].endswith(" s of a processor")
    for number, mode in enumerate(("full_BoolQ", "full_MMLU", "performance", "performance_maxbs"), start=3):
        assert lines[number].startswith(f"one more run of {mode}: ")
    assert lines[7].startswith("one more run of 61 questions: ")
    assert (tmp_path / "site" / "index.html").exists()
