"""What a request makes of the model: tokens, their texts as a stream tells them, and why it ended."""

from __future__ import annotations

import codecs
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from made_model import END_IDS, MadeModel, decode, token_bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks of a generation, in the terms of no dialect."""

    max_tokens: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    tells_stop: bool = False
    """A text that stops the answer is told with it, up to the end of the token that completes it."""

    ignore_eos: bool = False
    min_tokens: int = 0
    bias: Mapping[int, float] = field(default_factory=dict)
    """What is added to the logit of a token, by its id."""


@dataclass(frozen=True, slots=True)
class Step:
    """One token. `text` is what a stream says once it is there: nothing within a character or a stop."""

    token: int
    row: np.ndarray
    """Log-probabilities of the model [vocabulary], before anything is added or forbidden."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """All tokens of one answer. `stop_reason` is the stop text or token that ended it."""

    prompt: tuple[int, ...]
    steps: tuple[Step, ...]
    finish: str
    stop_reason: str | int | None = None

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(step.text for step in self.steps)

    @property
    def tokens(self) -> list[int]:
        """All ids, an end among them."""
        return [step.token for step in self.steps]


def generated(model: MadeModel, prompt: Sequence[int], wish: Wish) -> Generation:
    """Return the answer of `model` to `prompt`."""
    rng = random.Random(f"{wish.seed} {list(prompt)}" if wish.seed is not None else None)
    ids, steps = list(prompt), []
    finish, reason = "length", None
    while len(steps) < wish.max_tokens:
        row = model.next_logprobs(ids)
        ends = set() if wish.ignore_eos else set(END_IDS)
        drawn_from = row
        if wish.bias or len(steps) < wish.min_tokens:
            drawn_from = row.copy()
            drawn_from[list(wish.bias)] += list(wish.bias.values())
        if len(steps) < wish.min_tokens:
            drawn_from[[*END_IDS, *wish.stop_ids]] = -9999.0
        token = _chosen(drawn_from, wish, rng)
        ids.append(token)
        steps.append(Step(token, row))
        if len(steps) < wish.min_tokens:
            continue
        text = decode([step.token for step in steps])
        stop = next((each for each in wish.stop if each in text), None)
        if token in ends or token in wish.stop_ids or stop is not None:
            finish, reason = "stop", stop if stop is not None else token if token in wish.stop_ids else None
            break
    stopped = reason if isinstance(reason, str) and not wish.tells_stop else None
    return Generation(tuple(prompt), tuple(_told(steps, wish.stop, stopped)), finish, reason)


def _chosen(row: np.ndarray, wish: Wish, rng: random.Random) -> int:
    if wish.temperature <= 0:
        return int(row.argmax())
    weights = np.exp(row / wish.temperature - (row / wish.temperature).max())
    order = np.argsort(-weights)
    if wish.top_k > 0:
        weights[order[wish.top_k :]] = 0
    shares = np.cumsum(weights[order]) / weights.sum()
    weights[order[1:][shares[:-1] >= wish.top_p]] = 0
    return int(rng.choices(range(len(weights)), weights=weights.tolist())[0])


def _told(steps: Sequence[Step], stops: Sequence[str], stopped: str | None) -> list[Step]:
    """Return the steps with their texts: whole characters, and never a beginning of what may be a stop."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    held = max((len(stop) - 1 for stop in stops), default=0)
    text, said, told = "", 0, []
    for place, step in enumerate(steps):
        text += decoder.decode(token_bytes(step.token))
        end = len(text) - held
        if place == len(steps) - 1:
            end = text.index(stopped) if stopped is not None else len(text)
        told.append(replace(step, text=text[said : max(end, said)]))
        said = max(end, said)
    return told


def pieces(steps: Sequence[Step], tokens_per_chunk: int) -> list[tuple[Step, ...]]:
    """Return the steps of each chunk: the first alone, as servers send it, then so many at a time."""
    if not steps:
        return []
    rest = range(1, len(steps), tokens_per_chunk)
    return [(steps[0],), *(tuple(steps[at : at + tokens_per_chunk]) for at in rest)]
