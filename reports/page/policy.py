"""The content security policy of a page: only the styles and scripts that we wrote, and no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable


def policy(*, styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return a policy that allows exactly these inline `styles` and `scripts`, by their hashes.

    An empty icon and nothing else may be loaded: without one, browsers ask the server for /favicon.ico.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hashes(styles)}",
            f"script-src {_hashes(scripts)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hashes(contents: Iterable[str]) -> str:
    return " ".join(f"'sha256-{_sha256(content)}'" for content in contents) or "'none'"


def _sha256(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
