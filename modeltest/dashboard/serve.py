"""A look at a site through a browser on this machine: a server that nobody else can reach."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from modeltest.api import PrerequisiteError, SpecError

HOST = "127.0.0.1"
INDEX_PAGE = "index.html"


class SiteServer(ThreadingHTTPServer):
    """Serves the files below one folder to this machine alone."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Path, port: int) -> None:
        """Listen on `port` of this machine; 0 lets the system choose a free one.

        Raises: SpecError when there is no site in `site`; PrerequisiteError when the port is taken.
        """
        if not (site / INDEX_PAGE).is_file():
            raise SpecError(f"{site} holds no site; `modeltest dashboard RUNS --out {site}` builds one")
        self.site = site.resolve()
        try:
            super().__init__((HOST, port), partial(_Handler, directory=str(self.site)))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise PrerequisiteError(
                    f"port {port} is in use; choose another with --port N, or --port 0 for any that is free"
                ) from problem
            raise PrerequisiteError(f"cannot listen on port {port}: {problem.strerror}") from problem

    @property
    def address(self) -> str:
        """Where a browser finds the site."""
        return f"http://{HOST}:{self.server_port}/"


def serve(site: Path, port: int, *, tell: Callable[[str], None]) -> None:
    """Serve the site in `site` until Ctrl-C.

    Raises: SpecError, PrerequisiteError: see `SiteServer`.
    """
    with SiteServer(site, port) as server:
        try:
            tell(f"{server.address} shows {site} on this machine only; Ctrl-C ends it")
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            tell("stopped")


class _Handler(SimpleHTTPRequestHandler):
    """Files only: no listing, no link that leads out of the site, nothing whose name begins with a dot."""

    server: SiteServer
    server_version = "ModelTest"
    sys_version = ""

    def send_head(self) -> Any:
        """Answer with a file of the site, or refuse."""
        if not self._is_for_us():
            self.send_error(HTTPStatus.FORBIDDEN, "this server is for this machine only")
            return None
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / INDEX_PAGE
        if not self._is_in_site(path):
            self.send_error(HTTPStatus.NOT_FOUND, "no such page")
            return None
        return super().send_head()

    def end_headers(self) -> None:
        """Add what every answer carries: a page is read anew each time, and is what it says it is."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: pages are opened all the time."""

    def _is_for_us(self) -> bool:
        """Refuse other names of this address: a page elsewhere may have one of its own lead here."""
        port = self.server.server_port
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _is_in_site(self, path: Path) -> bool:
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError):
            return False
        inside = real.relative_to(self.server.site) if real.is_relative_to(self.server.site) else None
        if inside is None or not real.is_file():
            return False
        return not any(part.startswith(".") for part in inside.parts)
