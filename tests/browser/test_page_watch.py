"""The watch over pages notices what it is there for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from page_watch import PageWatch, find_chromium

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

PATIENCE_S = 10.0

QUIET = "<!doctype html><meta charset=utf-8><title>t</title><p>quiet</p>"
POLICY = (
    "<!doctype html><meta http-equiv=Content-Security-Policy content=\"default-src 'none'\"><title>t</title>"
)


@pytest.fixture
def watched(browser):
    """Return a function from a page's address to its watch, once that has a problem if one is expected."""

    def look(address, *, until_problem=False):
        page = browser.new_page()
        watch = PageWatch(page)
        page.goto(address)
        deadline = time.monotonic() + PATIENCE_S
        while until_problem and not watch.problems() and time.monotonic() < deadline:
            page.wait_for_timeout(20)
        page.close()
        return watch

    return look


def test_a_quiet_page_has_no_problems(watched, html_file):
    watch = watched(html_file(QUIET))
    assert watch.problems() == []
    assert len(watch.requests) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<script>console.error('broken')</script>", "console: broken"),
        ("<script>throw new Error('thrown here')</script>", "thrown here"),
        ("<img src='http://127.0.0.1:9/x.png'>", "request: http://127.0.0.1:9/x.png"),
        ("<script src='other.js'></script>", "other.js"),
        ("<script>fetch('http://127.0.0.1:9/y').catch(() => {})</script>", "request: http://127.0.0.1:9/y"),
        ("<script>new WebSocket('ws://127.0.0.1:9/')</script>", "request: ws://127.0.0.1:9/"),
        ("<script>import('data:text/javascript,throw 1')</script>", "thrown: "),
    ],
)
def test_what_a_page_may_not_do_is_noticed(watched, html_file, text, problem):
    problems = watched(html_file(QUIET + text), until_problem=True).problems()
    assert any(problem in each for each in problems), problems


def test_what_the_policy_of_a_page_forbids_is_noticed(watched, html_file):
    problems = watched(
        html_file(f"{POLICY}<script>document.title = 'ran'</script>"), until_problem=True
    ).problems()
    assert any("Content Security Policy" in each for each in problems), problems


def test_data_in_the_page_is_no_request_that_leaves_it(watched, html_file):
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    watch = watched(html_file(f"{QUIET}<img src='{pixel}'>"))
    assert watch.problems() == []


def test_without_a_browser_the_run_passes_and_says_what_was_left_out():
    words = ["-p", "no:xdist", "-p", "no:cacheprovider", str(HERE / "test_page_watch.py"), "-k", "quiet_page"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={**os.environ, "MODELTEST_CHROMIUM": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "NOTICE: 1 test of pages was skipped: no browser: " in done.stdout


def test_an_empty_variable_means_no_browser():
    assert find_chromium({"MODELTEST_CHROMIUM": ""}) is None
    assert find_chromium({"MODELTEST_CHROMIUM": "/opt/chrome"}) == "/opt/chrome"


def test_chromium_is_looked_for_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium({}) is None
    for name in ("google-chrome", "chromium"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert find_chromium({}) == str(tmp_path / name)
