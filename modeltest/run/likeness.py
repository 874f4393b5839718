"""What a line of a journal need not say as an earlier one says it: above all the tokens of its examples.

Few-shot prompts of one subject begin with the same thousand tokens. A sample whose prompt begins, for half of
it or more, as that of an earlier line names that line and how many tokens they share, and leaves out what
else is equal there:

    {"like":{"line":57,"prompt_tokens":612},"score":{"request_id":...,...},"completion":{"prompt_tokens":[...]},...}

`line` counts from 1. `prompt_tokens` has what follows the shared tokens. A field of `score` or `completion`
that is not there is as in that line, but for `completion.request_id`, which is that of the score. What most
readers of a score look for stands in every line. All other samples stand whole.

Who reads from the beginning needs few earlier lines: a line that is like another takes its place among those
that may be named, any other is added, and the oldest go where there are more than `KEPT_LINES` or where their
prompts have more than `KEPT_TOKENS` tokens. Writer and reader follow the same rule, so that a journal can be
read, and gone on with, in bounded memory. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY = "like"
LINE, TOKENS = "line", "prompt_tokens"

KEPT_LINES = 64
"""MMLU has 57 subjects, which an engine may answer in any order."""

KEPT_TOKENS = 1 << 18
"""Of all kept prompts together: some ten megabytes."""

_NAME = "request_id"

IN_EVERY_SCORE = (_NAME, "expected", "predicted", "correct", "margin")
"""What a line says of its score though an earlier one may say the same."""

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A sample that later ones may be like, whole."""

    sample: Plain

    @property
    def tokens(self) -> list[int]:
        tokens: list[int] = self.sample["completion"][TOKENS]
        return tokens


class EarlierLines:
    """The samples of one journal that a next one may be like, written or read."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        """By line number, that which was named or added last at the end."""

        self._tokens = 0

    def copy(self) -> EarlierLines:
        """Return some that go on from here by themselves."""
        other = EarlierLines()
        other._kept, other._tokens = dict(self._kept), self._tokens
        return other

    def shortened(self, number: int, sample: Plain) -> Plain:
        """Return what line `number` has to say of a whole sample, and keep that for the lines after it."""
        line = self._most_alike(sample["completion"][TOKENS])
        short = sample if line is None else _difference(line, self._kept[line].sample, sample)
        self._keep(number, sample, line)
        return short

    def whole(self, number: int, sample: object) -> object:
        """Return the whole sample of what line `number` says, and keep it for the lines after it.

        What is no sample is returned as it is: whoever takes it apart says what is wrong with it.

        Raises: ValueError when it is like a line that it cannot be like.
        """
        if not isinstance(sample, dict):
            return sample
        line = None
        if KEY in sample:
            line = self._line_of(sample[KEY])
            sample = _completed(self._kept[line].sample, sample)
        if _can_be_kept(sample):
            self._keep(number, sample, line)
        return sample

    def _most_alike(self, tokens: list[int]) -> int | None:
        """Return the line with the most tokens in common, the last of such; `None` for less than half."""
        half = (len(tokens) + 1) // 2
        found, most = None, 0
        for number, kept in self._kept.items():
            if half and kept.tokens[:half] == tokens[:half]:
                shared = _shared(kept.tokens, tokens)
                if shared >= most:
                    found, most = number, shared
        return found

    def _line_of(self, like: object) -> int:
        if not isinstance(like, dict) or like.keys() != {LINE, TOKENS}:
            raise ValueError(f"{KEY!r} does not say which line it is like, and in how many tokens")
        line, count = like[LINE], like[TOKENS]
        if type(line) is not int or line not in self._kept:
            raise ValueError(f"it is like line {line!r:.80}, which is none that it can be like")
        if type(count) is not int or not 0 <= count <= len(self._kept[line].tokens):
            raise ValueError(f"it shares {count!r:.80} tokens with line {line}, which has not so many")
        return line

    def _keep(self, number: int, sample: Plain, line: int | None) -> None:
        if line is not None:
            self._forget(line)
        kept = _Kept(sample)
        if not kept.tokens:
            return
        self._kept[number] = kept
        self._tokens += len(kept.tokens)
        while len(self._kept) > KEPT_LINES or self._tokens > KEPT_TOKENS:
            self._forget(next(iter(self._kept)))

    def _forget(self, line: int) -> None:
        self._tokens -= len(self._kept.pop(line).tokens)


def _difference(line: int, earlier: Plain, sample: Plain) -> Plain:
    """Return `sample` without what it has in common with the sample of an earlier `line`."""
    score, completion = sample["score"], sample["completion"]
    count = _shared(earlier["completion"][TOKENS], completion[TOKENS])
    answer = {TOKENS: completion[TOKENS][count:]} | {
        name: value
        for name, value in _other_fields(earlier["completion"] | {_NAME: score[_NAME]}, completion).items()
        if name != TOKENS
    }
    always = {name: score[name] for name in IN_EVERY_SCORE}
    parts = {"score": always | _other_fields(earlier["score"], score), "completion": answer}
    return {KEY: {LINE: line, TOKENS: count}} | sample | parts


def _completed(earlier: Plain, short: Mapping[str, Any]) -> Plain:
    """Return the whole sample of which `short` is what it has not in common with an earlier one.

    Raises: ValueError when a part of it is not there, or is none.
    """
    score, completion = short.get("score"), short.get("completion")
    if not isinstance(score, dict) or not isinstance(completion, dict) or _NAME not in score:
        raise ValueError("it has no score of a question, or no completion")
    more = completion.get(TOKENS)
    if not isinstance(more, list):
        raise ValueError("it has no list of the tokens that follow the shared ones")
    shared = earlier["completion"][TOKENS][: short[KEY][TOKENS]]
    whole = {name: value for name, value in short.items() if name != KEY}
    whole["score"] = earlier["score"] | score
    whole["completion"] = earlier["completion"] | {_NAME: score[_NAME]} | completion | {TOKENS: shared + more}
    return whole


def _other_fields(earlier: Mapping[str, Any], part: Mapping[str, Any]) -> Plain:
    # By their text: 0 and -0.0, 1 and true are equal to Python, and not the same in a file.
    return {
        name: value
        for name, value in part.items()
        if name not in earlier or repr(value) != repr(earlier[name])
    }


def _shared(one: list[int], other: list[int]) -> int:
    """Return how many tokens two prompts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _can_be_kept(sample: Plain) -> bool:
    completion = sample.get("completion")
    has_tokens = isinstance(completion, dict) and isinstance(completion.get(TOKENS), list)
    return has_tokens and isinstance(sample.get("score"), dict)
