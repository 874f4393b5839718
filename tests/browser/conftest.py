"""Real headless Chromium for the tests of pages; whatever a page says or asks for is watched.

Chromium is the machine's own (Debian's `chromium`), driven by Playwright's Python package. The variable
MODELTEST_CHROMIUM names another executable; set to nothing it means none. Without one the tests are skipped,
and the end of the test run says so.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_watch import NO_BROWSER, VARIABLE, PageWatch, find_chromium

from modeltest.installation import install_command

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTH, HEIGHT = 1280, 900

ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb")
"""Chromium refuses its sandbox to root, and containers have little shared memory."""

PATIENCE_MS = 10_000


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of Chromium, or skip with the reason that ends up in the notice."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip(f"{NO_BROWSER}: the package playwright is not installed: {install_command('dev')}")
    path = find_chromium(os.environ)
    if path is None:
        pytest.skip(f"{NO_BROWSER}: apt-get install chromium, or name one with {VARIABLE}=/path/to/chromium")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Return a running browser.

    It lives no longer than a module: until Playwright is closed its event loop counts as running, and tests
    that start one of their own could not.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])
        yield running
        running.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens an empty page; each is checked when the test has ended.

    `origin` is that of the local server it may open pages of; without it, pages are files. Other options are
    those of Playwright's `new_context`: `color_scheme="dark"`, `locale="zh-CN"`, `viewport=...`.
    """
    watches: list[PageWatch] = []
    contexts = []

    def open_new(*, origin: str | None = None, **options: Any) -> Page:
        chosen = {
            "viewport": {"width": WIDTH, "height": HEIGHT},
            "locale": "en-US",
            "color_scheme": "light",
            "reduced_motion": "reduce",
            **options,
        }
        context = browser.new_context(**chosen)
        contexts.append(context)
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        watches.append(PageWatch(opened, origin))
        return opened

    yield open_new
    for context in contexts:
        context.close()
    problems = [problem for watch in watches for problem in watch.problems()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """Return an empty page that may open files: `page.goto(path.as_uri())`."""
    return new_page()


@pytest.fixture
def html_file(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a page to a file and returns its address."""

    def write(text: str) -> str:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        return path.as_uri()

    return write
