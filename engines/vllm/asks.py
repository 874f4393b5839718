"""What is asked of vLLM's engine and what it answered, in no version's words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modeltest.api import Sampling


@dataclass(frozen=True, slots=True)
class Draw:
    """How a row's tokens are drawn; equal seeds draw alike."""

    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One row to feed, and what is wanted of it."""

    ids: tuple[int, ...]
    new_tokens: int = 1
    wanted: tuple[int, ...] = ()
    """Tokens whose log-probability behind the row is wanted."""

    top: int = 0
    """So many of the likeliest tokens behind the row are wanted with their log-probabilities."""

    scores_row: bool = False
    """The log-probability of each of its own tokens is wanted, beside that of the likeliest in its place."""

    may_reuse: bool = True
    """What was computed for earlier rows may be read for this one."""

    adapter: str | None = None
    """The LoRA adapter that answers; `None`: the model as it is."""

    stop_ids: tuple[int, ...] = ()
    """Tokens that end the row."""

    draw: Draw | None = None
    """`None`: the likeliest token."""

    ends: Callable[[int, list[int]], bool] | None = None
    """Asked after each new token whether the row is done; `None`: `stop_ids` and the limit say so."""

    is_watched: bool = False
    """The time of every token is wanted, not of the last alone."""


@dataclass(slots=True)
class Answer:
    """What came of an ask so far."""

    tokens: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    """Of each token, since the first row was submitted; of a row that is not watched, of the last alone."""

    ended: bool = False
    """By a stop token or because `Ask.ends` said so, not by the limit."""

    is_finished: bool = False
    logprobs: Mapping[int, float] = field(default_factory=dict)
    """Behind the row: of the tokens wanted, of the likeliest ones and of the one that was said."""

    row_logprobs: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    """By position in the row, the log-probabilities there of its token and of the likeliest."""

    reused_tokens: int = 0
    preemptions: int = 0
    is_corrupted: bool = False
    """The engine saw logits that are no numbers."""

    engine_times_ns: tuple[int, int] | None = None
    """When the engine itself says the first and the last token were there, on the clock of `times_ns`."""


def prefix_order(rows: Sequence[tuple[int, ...]], adapters: Sequence[str | None] = ()) -> list[int]:
    """Return the places of `rows` so that those which begin alike come next to one another.

    That is the order in which vLLM's prefix cache serves them best. Rows of different `adapters` share
    nothing; without any, all rows are the model's own.
    """
    if not any(adapters):
        return sorted(range(len(rows)), key=rows.__getitem__)
    return sorted(range(len(rows)), key=lambda place: (adapters[place] or "", rows[place]))
