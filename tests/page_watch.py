"""The browser of the tests of pages, and the watch over what a page logs, throws and asks for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

VARIABLE = "MODELTEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

NO_BROWSER = "no browser"
"""Begins the reason of a test that is skipped for want of one."""

INERT_SCHEMES = ("data:", "blob:", "about:")
"""What these name is in the page already."""


def find_chromium(environment: Mapping[str, str]) -> str | None:
    """Return the executable to drive; `None` when there is none, or the variable is set to nothing."""
    if VARIABLE in environment:
        return environment[VARIABLE] or None
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class PageWatch:
    """What one page logged as an error, threw, and asked for.

    A page may open files, or with `origin` what a local server serves; it may load nothing.
    """

    def __init__(self, page: Page, origin: str | None = None) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.leaving: list[str] = []
        self._origin = origin
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(f"thrown: {error}"))
        page.on("crash", lambda _: self.errors.append("the page crashed"))
        page.on("request", self._see)
        page.on("websocket", lambda socket: self.leaving.append(socket.url))

    def problems(self) -> list[str]:
        """Return what no page of ModelTest may do: log or throw an error, load anything but itself."""
        return [*self.errors, *(f"request: {url}" for url in self.leaving)]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self.errors.append(f"console: {message.text}")

    def _see(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith(INERT_SCHEMES) and not self._is_document(request):
            self.leaving.append(request.url)

    def _is_document(self, request: Request) -> bool:
        """Tell a page that is opened from what a page loads: pages are self-contained."""
        own = "file://" if self._origin is None else f"{self._origin}/"
        return request.is_navigation_request() and request.url.startswith(own)
