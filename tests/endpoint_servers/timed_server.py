"""A server of known times: vLLM's dialect, whose streams come at set times and are written down as they go.

python timed_server.py [--first-ms 100] [--gap-ms 50] [--core 0] [--log FILE] ...

A stream that ignores the end says the same tokens whatever it is asked, so that nothing is computed while
others are sent. Each of its chunks is sent at its own deadline, counted from when the request had been read;
`sent` of the log has, for each chunk, the monotonic clock right before the write and when the socket's buffer
had taken it (ns, comparable between processes of one machine), and its tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from dialect import Sending
from made_generation import Generation, Step
from made_http import Answer, Asked, Log
from made_model import MadeModel, decode, encode
from made_server import add_options, run, settings_of
from vllm_dialect import VllmDialect

_TEXT = " The sea is salt and the answer is yes"


class TimedDialect(VllmDialect):
    """Streams of words that are known before they are asked for."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._rendered: dict[tuple[Any, ...], list[Sending]] = {}
        row = self.model.next_logprobs([0])
        self._words = [Step(token, row, decode([token])) for token in encode(_TEXT, special=False)]

    async def handle(self, asked: Asked, answer: Answer) -> None:
        """Let all requests of a batch arrive before any is looked at: their times are those of the socket."""
        await asyncio.sleep(self.settings.first_ms / 4000)
        await super().handle(asked, answer)

    def _generated(
        self, body: dict[str, Any], prompt: Sequence[int], default: int | None = None
    ) -> Generation:
        if not (body.get("stream") and body.get("ignore_eos")):
            return super()._generated(body, prompt, default)
        count = self.limit(body.get("max_tokens", self.default_max_tokens), prompt)
        steps = [self._words[place % len(self._words)] for place in range(count)]
        return Generation(tuple(prompt), tuple(steps), "length")

    def _completion_events(self, body: dict[str, Any], prompt: Sequence[int]) -> Iterator[Sending]:
        events = super()._completion_events(body, prompt)
        if not body.get("ignore_eos"):
            yield from events
            return
        yield next(events)  # the first chunk tells the prompt's ids
        known = (body.get("max_tokens"), len(prompt), json.dumps(body.get("stream_options")))
        if known not in self._rendered:
            self._rendered[known] = list(events)
        yield from self._rendered[known]


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.set_defaults(first_ms=100.0, gap_ms=50.0)
    words = parser.parse_args()
    made = TimedDialect(MadeModel(), settings_of(words), Log(words.log))
    gc.freeze()
    gc.disable()  # a collection in the middle of a stream would be a delay that nobody asked for
    with suppress(KeyboardInterrupt):
        asyncio.run(run(made, words))


if __name__ == "__main__":
    main()
