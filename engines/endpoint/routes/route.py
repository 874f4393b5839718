"""What a wire format is. Requests are wishes in the words of vLLM's completions, which has one for each.

A route writes the wishes that it has words for, and those alone: `wishes` names them, beside what every
route can say (`prompt`, `max_tokens`, `temperature`, `top_p`, `stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engines.endpoint.routes.replies import Reply

Wishes = Mapping[str, Any]
ReadChunk = Callable[[Any], Reply]
"""Takes the events of one stream in their order; each reply has what its event adds."""


class Route(Protocol):
    """One way to ask a server for the tokens behind a prompt."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def wishes(self) -> frozenset[str]:
        """Wishes that it has words for."""

    @property
    def takes_ids(self) -> bool:
        """Whether token ids are sent as such; else as the text that is cut into them, if there is one."""

    @property
    def ends_with_done(self) -> bool:
        """Whether the last event of its streams is `[DONE]`."""

    def request(self, wishes: Wishes) -> tuple[str, dict[str, Any]]:
        """Return path and body.

        Raises: ReplyError where the prompt cannot be written.
        """

    def read(self, value: Any) -> Reply:
        """Return an answer that came whole.

        Raises: ReplyError.
        """

    def chunk_reader(self) -> ReadChunk:
        """Return what reads the events of one stream."""
