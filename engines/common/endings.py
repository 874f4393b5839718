"""When a generation ends: by a token, at a stop string, or with a first character where that is all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from engines.common.encoding import Encoded
from engines.common.stops import stop_ids
from modeltest.api import EngineError

_BROKEN_CHARACTER = "\ufffd"
"""What a tokenizer says for a character whose bytes are not all there yet."""

_MARGIN_TOKENS = 8
"""Tokens read in front of those that a stop string can begin in: a text cut there may begin otherwise."""

Ends = Callable[[int, int, list[int]], bool]
"""Says of a row, its newest token and all its new tokens whether it ends there."""


class Speaking(Protocol):
    """What is needed of a loaded checkpoint to say where its answers end."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, of transformers."""

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The tokens that end a text."""


def eos_token_ids(*sources: Any) -> frozenset[int]:
    """Return the tokens that end a text: those of the first of `sources` that names some.

    Raises: EngineError where one is no number of a token.
    """
    for source in sources:
        ids = getattr(source, "eos_token_id", None)
        if ids is None:
            continue
        listed = ids if isinstance(ids, (list, tuple)) else [ids]
        if wrong := [each for each in listed if type(each) is not int]:
            # It would equal no token, and no answer would end before its limit.
            raise EngineError(
                f"the checkpoint names eos_token_id {wrong[0]!r:.80}; the number of a token is needed"
            )
        return frozenset(listed)
    return frozenset()


def ends_of(batch: Sequence[Encoded], loaded: Speaking) -> Ends:
    """Return the rule that says whether row `row` of `batch` ends with the newest of its new tokens."""
    all_stops = {one.request.stop for one in batch}
    special = {stops: stop_ids(loaded.tokenizer, stops) for stops in all_stops}
    reach = {stops: _reach(stops) for stops in all_stops}
    unseen = frozenset(loaded.tokenizer.all_special_ids)

    def ends(row: int, token: int, tokens: list[int]) -> bool:
        request = batch[row].request
        if token in loaded.eos_token_ids or token in special[request.stop]:
            return True
        if request.first_character_only and _first_character_is_known(text_of(loaded, tokens)):
            return True
        if not request.stop:
            return False
        # A stop string that was not there before ends in the newest token: the text before it is not read
        # again. What is found there is looked for in the whole, which says what the answer is.
        newest = text_of(loaded, _last_seen(tokens, reach[request.stop], unseen))
        if not any(stop in newest for stop in request.stop):
            return False
        whole = text_of(loaded, tokens)
        return any(stop in whole for stop in request.stop)

    return ends


def text_of(loaded: Speaking, tokens: Sequence[int]) -> str:
    """Return the text of tokens, without special ones."""
    text: str = loaded.tokenizer.decode(tokens, skip_special_tokens=True)
    return text


def _reach(stops: Sequence[str]) -> int:
    """Return how many tokens the longest of `stops` can be spread over: a token is a byte at least."""
    return _MARGIN_TOKENS + max((len(stop.encode()) for stop in stops), default=0)


def _last_seen(tokens: Sequence[int], count: int, unseen: frozenset[int]) -> list[int]:
    """Return the last `count` tokens that show in the text, and any that do not between them."""
    begin = len(tokens)
    while begin and count:
        begin -= 1
        count -= tokens[begin] not in unseen
    return list(tokens[begin:])


def _first_character_is_known(text: str) -> bool:
    """Say whether more tokens cannot change the first non-blank character.

    They can as long as there is nothing but bytes of a character that may still be completed.
    """
    return bool(text.lstrip().strip(_BROKEN_CHARACTER))
