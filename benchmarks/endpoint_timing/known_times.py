"""The engine `openai` against a server that sends at set times and writes every send down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from endpoint_timing.asking import Batch, asked, engine_for
from endpoint_timing.deviations import Deviations, Stream, deviations
from running_servers import Running, timed_server


def against_known_times(
    folder: Path,
    batches: Sequence[Batch],
    *,
    trials: int,
    cores: tuple[int, int],
    first_ms: float,
    gap_ms: float,
) -> list[Deviations]:
    """Return how far the client is from the server's log, for each number of streams.

    The server keeps to the first of `cores`, the client to the second. `folder` takes the log.
    """
    options = ("--core", str(cores[0]), "--first-ms", str(first_ms), "--gap-ms", str(gap_ms))
    draws = Random(0)
    with (
        timed_server(folder, *options) as server,
        engine_for(server.url, {}, core=cores[1]) as engine,
    ):
        found = []
        for batch in batches:
            asked(engine, Batch(batch.streams, batch.input_tokens, 4).requests(draws))
            client: dict[tuple[int, ...], Stream] = {}
            for _ in range(trials):
                client |= asked(engine, batch.requests(draws))
            sent = sends(server)
            found.append(deviations(batch.streams, [(sent[prompt], one) for prompt, one in client.items()]))
        return found


def sends(server: Running) -> dict[tuple[int, ...], Stream]:
    """Return what the server sent, by prompt: from when it had read the request to each write."""
    lines = (line for line in server.lines() if line["sent"] and isinstance(line["body"].get("prompt"), list))
    return {tuple(line["body"]["prompt"]): _stream(line) for line in lines}


def _stream(line: dict[str, object]) -> Stream:
    received, sent = line["received_ns"], line["sent"]
    assert isinstance(received, int)
    assert isinstance(sent, list)
    return Stream(received, tuple(before for before, _, tokens in sent for _ in range(tokens)))
