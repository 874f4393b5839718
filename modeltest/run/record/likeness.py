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

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from modeltest.api import Completion, Sample, Score
from modeltest.plain.contracts import from_plain, to_plain, with_fields

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


class EarlierLines:
    """The samples of one journal that a next one may be like, written or read."""

    def __init__(self) -> None:
        self._kept: dict[int, Sample] = {}
        """By line number, that which was named or added last at the end."""

        self._tokens = 0

    def copy(self) -> EarlierLines:
        """Return some that go on from here by themselves."""
        other = EarlierLines()
        other._kept, other._tokens = dict(self._kept), self._tokens
        return other

    def plain(self, number: int, sample: Sample) -> Plain:
        """Return what line `number` has to say of a sample, and keep that for the lines after it."""
        line = self._most_alike(sample.completion.prompt_tokens)
        said: Plain = to_plain(sample) if line is None else _difference(line, self._kept[line], sample)
        self._keep(number, sample, line)
        return said

    def sample(self, number: int, said: object) -> Sample:
        """Return the sample of which line `number` says this, and keep it for the lines after it.

        Raises: ValueError naming what does not fit, also when it is like a line that it cannot be like.
        """
        line = None
        if isinstance(said, dict) and KEY in said:
            line, count = self._likeness(said[KEY])
            sample = _completed(self._kept[line], count, said)
        else:
            sample = from_plain(Sample, said)
        self._keep(number, sample, line)
        return sample

    def _most_alike(self, tokens: tuple[int, ...]) -> int | None:
        """Return the line with the most tokens in common, the last of such; `None` for less than half."""
        half = (len(tokens) + 1) // 2
        found, most = None, 0
        for number, sample in self._kept.items():
            theirs = sample.completion.prompt_tokens
            if half and theirs[:half] == tokens[:half]:
                shared = _shared(theirs, tokens)
                if shared >= most:
                    found, most = number, shared
        return found

    def _likeness(self, like: object) -> tuple[int, int]:
        if not isinstance(like, dict) or like.keys() != {LINE, TOKENS}:
            raise ValueError(f"{KEY!r} does not say which line it is like, and in how many tokens")
        line, count = like[LINE], like[TOKENS]
        if type(line) is not int or line not in self._kept:
            raise ValueError(f"it is like line {line!r:.80}, which is none that it can be like")
        if type(count) is not int or not 0 <= count <= len(self._kept[line].completion.prompt_tokens):
            raise ValueError(f"it shares {count!r:.80} tokens with line {line}, which has not so many")
        return line, count

    def _keep(self, number: int, sample: Sample, line: int | None) -> None:
        if line is not None:
            self._forget(line)
        tokens = len(sample.completion.prompt_tokens)
        if not tokens:
            return
        self._kept[number] = sample
        self._tokens += tokens
        while len(self._kept) > KEPT_LINES or self._tokens > KEPT_TOKENS:
            self._forget(next(iter(self._kept)))

    def _forget(self, line: int) -> None:
        self._tokens -= len(self._kept.pop(line).completion.prompt_tokens)


def _difference(line: int, earlier: Sample, sample: Sample) -> Plain:
    """Return what is to be said of `sample` beside what it has in common with that of an earlier `line`."""
    score, completion = sample.score, sample.completion
    count = _shared(earlier.completion.prompt_tokens, completion.prompt_tokens)
    likely = replace(earlier.completion, request_id=score.request_id, prompt_tokens=completion.prompt_tokens)
    return {
        KEY: {LINE: line, TOKENS: count},
        "score": {name: getattr(score, name) for name in IN_EVERY_SCORE}
        | dict(_changes(earlier.score, score)),
        "completion": {
            TOKENS: list(completion.prompt_tokens[count:]),
            **dict(_changes(likely, completion)),
        },
        "prompt_sha256": sample.prompt_sha256,
    }


def _completed(earlier: Sample, count: int, said: Mapping[str, Any]) -> Sample:
    """Return the sample that has `count` tokens, and what is not `said` of it, in common with an earlier one.

    Raises: ValueError when a part of it is not there, or is none.
    """
    score, completion, digest = (said.get(part) for part in ("score", "completion", "prompt_sha256"))
    if said.keys() != {KEY, "score", "completion", "prompt_sha256"} or not isinstance(digest, str):
        raise ValueError("it has not the parts of a sample that is like another")
    if not isinstance(score, dict) or not score.keys() >= {*IN_EVERY_SCORE}:
        raise ValueError("its score does not say what every score says")
    if not isinstance(completion, dict) or TOKENS not in completion:
        raise ValueError("it does not say which tokens follow the shared ones")
    answer = with_fields(earlier.completion, {_NAME: score[_NAME], **completion})
    tokens = earlier.completion.prompt_tokens[:count] + answer.prompt_tokens
    return Sample(with_fields(earlier.score, score), replace(answer, prompt_tokens=tokens), digest)


def _changes(earlier: Score | Completion, part: Score | Completion) -> Iterator[tuple[str, Any]]:
    """Yield each field of `part` that is not as it was, as a plain value."""
    for field in fields(part):
        then, now = getattr(earlier, field.name), getattr(part, field.name)
        # By their text, too: 0.0 and -0.0 are equal to Python, and not the same in a file.
        if then is not now and (then != now or repr(then) != repr(now)):
            yield field.name, to_plain(now)


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many tokens two prompts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
