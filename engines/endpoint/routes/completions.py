"""OpenAI's completions: wishes are sent as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engines.endpoint.routes.replies import Reply, read_reply
from engines.endpoint.routes.route import ReadChunk, Wishes

COMPLETIONS = "/completions"
CHAT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Completions:
    """The route that nearly every server has."""

    wishes: frozenset[str]
    ends_with_done: bool = True
    name: str = "completions"
    takes_ids: bool = True

    def request(self, wishes: Wishes) -> tuple[str, dict[str, Any]]:
        """Return path and body; see `Route`."""
        return COMPLETIONS, dict(wishes)

    def read(self, value: Any) -> Reply:
        """Return an answer that came whole; see `Route`."""
        return read_reply(value)

    def chunk_reader(self) -> ReadChunk:
        """Return what reads the events of one stream."""
        return read_reply
