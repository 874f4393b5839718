import shutil
from dataclasses import replace

import pytest
from dashboard_runs import BOOLQ, LATENCY, Change, Plan, nights, write_odd_runs

from modeltest.cli import main
from modeltest.installation import install_command

pytest.importorskip("jinja2")


def run(capfd, *words):
    status = main(["dashboard", *map(str, words)])
    found = capfd.readouterr()
    return status, found.out, found.err


@pytest.fixture
def runs(tmp_path):
    nights(tmp_path / "runs", BOOLQ, 2)
    return tmp_path / "runs"


def test_a_site_is_built_and_its_first_page_named(capfd, runs, tmp_path):
    status, out, err = run(capfd, runs, "--out", tmp_path / "site")
    assert (status, out) == (0, f"{tmp_path / 'site' / 'index.html'}\n")
    assert err == "2 runs: 2 new, 0 changed, 0 as before; 5 pages written\n"
    assert "aurora-7b" in next((tmp_path / "site" / "history").iterdir()).read_text(encoding="utf-8")


def test_options_may_come_first(capfd, runs, tmp_path):
    assert run(capfd, "--out", tmp_path / "site", runs)[0] == 0


def test_a_second_call_tells_what_is_new_changed_and_gone(capfd, runs, tmp_path):
    run(capfd, runs, "--out", tmp_path / "site")
    (first, second) = sorted(runs.iterdir())
    shutil.rmtree(first)
    with (second / "run.json").open("a") as file:
        file.write(" ")
    nights(runs / "more", LATENCY, 1)
    err = run(capfd, runs, "--out", tmp_path / "site")[2]
    assert err.startswith("2 runs: 1 new, 1 changed, 0 as before, 1 gone; ")


def test_what_cannot_be_read_and_what_became_worse_is_said(capfd, tmp_path):
    worse = replace(BOOLQ, changes=(Change(first=1, last=None, accuracy=-0.3),))
    nights(tmp_path / "runs", worse, 2)
    odd = write_odd_runs(tmp_path / "runs", Plan(BOOLQ, 9, 0))
    status, _, err = run(capfd, tmp_path / "runs", "--out", tmp_path / "site")
    assert status == 0
    lines = err.splitlines()
    assert lines[1].startswith(f"not readable: {odd[3]}: run.json cannot be read")
    assert lines[2].startswith(
        "regression: aurora-7b full_BoolQ pa_fp16 (mindie_pa) accuracy: 120 questions;"
    )


def test_what_is_tolerated_and_accepted_can_be_said(capfd, tmp_path):
    worse = replace(BOOLQ, changes=(Change(first=1, last=None, accuracy=-0.3),))
    runs = nights(tmp_path / "runs", worse, 3)
    words = (tmp_path / "runs", "--out", tmp_path / "site")
    assert "regression" in run(capfd, *words)[2]
    assert "regression" not in run(capfd, *words, "--max-drop", "50%")[2]
    assert "regression" not in run(capfd, *words, "--accept", runs[1])[2]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "Build a site"),
        (["nowhere"], 2, "nowhere does not exist; give the directory of a run, or a folder that runs lie in"),
        (
            ["serve", "nowhere"],
            2,
            "nowhere holds no site; `modeltest dashboard RUNS --out nowhere` builds one",
        ),
        ([".", "--accept", "nowhere"], 2, "--accept nowhere: the dashboard has no such run"),
        ([".", "--language", "fr"], 2, "'fr' is not one of 'en', 'zh'"),
        ([".", "--tolerance", "-1%"], 2, "-1%"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(capfd, tmp_path, monkeypatch, words, status, message):
    monkeypatch.chdir(tmp_path)
    found = run(capfd, *words)
    assert found[0] == status
    assert message in found[1] + found[2]


def test_the_help_leads_to_both_commands(capfd):
    out = run(capfd, "--help")[1]
    for words in (
        "modeltest dashboard outputs/ --out site/",
        "modeltest dashboard serve site/",
        "index.sqlite",
    ):
        assert words in out


def test_without_jinja2_it_is_said_which_extra_brings_it(capfd, runs, tmp_path, monkeypatch):
    from reports.page import extra

    monkeypatch.setattr(extra, "find_spec", lambda _: None)
    status, _, err = run(capfd, runs, "--out", tmp_path / "site")
    assert status == 3
    assert install_command("report") in err
    assert not (tmp_path / "site").exists()
