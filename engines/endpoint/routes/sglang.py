"""SGLang's own `/generate`: token ids in and out, log-probabilities by id, counts in every event.

Source: sampling_params.md and native_api of SGLang's documentation, `tokenizer_manager.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engines.endpoint.routes.replies import PromptToken, Reply, ReplyError, Usage
from engines.endpoint.routes.route import ReadChunk, Wishes
from engines.endpoint.routes.values import as_count, as_ids, is_logprob, message

_PARAMETERS = {
    "max_tokens": "max_new_tokens",
    "min_tokens": "min_new_tokens",
    "seed": "sampling_seed",
    **{
        name: name
        for name in (
            *("temperature", "top_p", "top_k", "min_p", "stop", "stop_token_ids", "ignore_eos"),
            *("repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias"),
        )
    },
}
"""What is called how among `sampling_params`; one that SGLang does not know is refused by it."""

_OF_PROMPT, _OF_OUTPUT = 0, -1
"""Where log-probabilities begin: with the prompt's first token, or behind its last."""


@dataclass(frozen=True, slots=True)
class SglangGenerate:
    """The route `/generate` of SGLang."""

    name: str = "/generate"
    ends_with_done: bool = True
    takes_ids: bool = True
    wishes: frozenset[str] = frozenset(
        {
            *("top_k", "min_p", "stop", "stop_token_ids", "ignore_eos", "min_tokens", "seed", "logit_bias"),
            *("return_token_ids", "prompt_logprobs", "prompt_logprobs_from", "logprob_token_ids", "logprobs"),
        }
    )

    def request(self, wishes: Wishes) -> tuple[str, dict[str, Any]]:
        """Return path and body; see `Route`."""
        prompt = wishes["prompt"]
        body = {
            "text" if isinstance(prompt, str) else "input_ids": prompt,
            "sampling_params": {own: wishes[name] for name, own in _PARAMETERS.items() if name in wishes},
        }
        if wishes.get("stream"):
            body["stream"] = True
        return "//generate", body | _asked_logprobs(wishes)

    def read(self, value: Any) -> Reply:
        """Return an answer that came whole; see `Route`."""
        meta = value.get("meta_info") if isinstance(value, dict) else None
        if not isinstance(meta, dict):
            raise ReplyError("the answer has no meta_info")
        usage = Usage(
            as_count(meta.get("prompt_tokens")),
            as_count(meta.get("completion_tokens")),
            as_count(meta.get("cached_tokens")),
            as_count(meta.get("reasoning_tokens")),
        )
        ids = as_ids(value.get("output_ids"))
        text = value.get("text")
        return Reply(
            text=text if isinstance(text, str) else "",
            finish=_finish(meta.get("finish_reason")),
            token_ids=ids,
            usage=usage,
            top=_told_of_output(meta),
            sampled=ids or (),
            prompt_logprobs=_told_of_prompt(meta, usage.prompt_tokens),
        )

    def chunk_reader(self) -> ReadChunk:
        """Return what reads the events of one stream, each of which has all so far, or what is new alone."""
        return _Chunks(self.read)


class _Chunks:
    """Takes from each event what the ones before had not.

    `output_ids` are all so far, or with `--incremental-streaming-output` the new ones; the total, which is
    told with them, says which.
    """

    def __init__(self, read: ReadChunk) -> None:
        self._read = read
        self._tokens = 0
        self._text = ""

    def __call__(self, value: Any) -> Reply:
        whole = self._read(value)
        total, ids = whole.usage.completion_tokens, whole.token_ids
        if total is None:
            raise ReplyError("an event does not say how many tokens there are so far")
        new = total - self._tokens
        if new < 0 or (ids is not None and len(ids) not in (total, new)):
            raise ReplyError(f"{self._tokens} tokens had come, then {len(ids or ())} ids of {total} tokens")
        if ids is not None and len(ids) == total:
            ids = ids[self._tokens :]
        text = whole.text.removeprefix(self._text)
        self._tokens = total
        self._text = whole.text if whole.text.startswith(self._text) else self._text + whole.text
        return Reply(text=text, finish=whole.finish, token_ids=ids, usage=whole.usage)


def _asked_logprobs(wishes: Wishes) -> dict[str, Any]:
    of_prompt = "prompt_logprobs" in wishes
    if not of_prompt and "logprobs" not in wishes:
        return {}
    begin = wishes.get("prompt_logprobs_from", _OF_PROMPT) if of_prompt else _OF_OUTPUT
    asked = {"return_logprob": True, "logprob_start_len": begin}
    asked["top_logprobs_num"] = 1 if of_prompt else wishes["logprobs"]  # one shows whether a token is first
    if "logprob_token_ids" in wishes:
        asked["token_ids_logprob"] = wishes["logprob_token_ids"]
    return asked


def _finish(value: Any) -> str | None:
    """Return the reason of the end.

    Raises: ReplyError where the server gave the request up.
    """
    kind = value.get("type") if isinstance(value, dict) else value
    if kind == "abort":
        raise ReplyError(f"the server gave the request up: {message(value)}")
    return kind if isinstance(kind, str) and kind else None


def _told_of_output(meta: Mapping[str, Any]) -> tuple[Mapping[int, float], ...]:
    """Return by generated token what was told of it: itself, the likeliest, those that were named."""
    own = meta.get("output_token_logprobs")
    found: list[dict[int, float]] = [_by_id([entry]) for entry in own] if isinstance(own, list) else []
    for name in ("output_top_logprobs", "output_token_ids_logprobs"):
        places = meta.get(name)
        if isinstance(places, list) and len(places) == len(found):
            found = [place | _by_id(more) for place, more in zip(found, places, strict=True)]
    return tuple(found)


def _told_of_prompt(
    meta: Mapping[str, Any], prompt_tokens: int | None
) -> tuple[Mapping[int, PromptToken] | None, ...]:
    """Return what was told by place of the prompt; nothing of those before the begin that was asked for.

    The first entry is without a value wherever it begins.
    """
    entries, tops = meta.get("input_token_logprobs"), meta.get("input_top_logprobs")
    if not isinstance(entries, list) or not entries or prompt_tokens is None:
        return ()
    tops = tops if isinstance(tops, list) and len(tops) == len(entries) else [None] * len(entries)
    told: list[Mapping[int, PromptToken] | None] = [None] * (prompt_tokens - len(entries))
    for entry, top in zip(entries, tops, strict=True):
        first = next(iter(_by_id(top)), None)
        told.append(
            {
                token: PromptToken(logprob, None if first is None else 1 if token == first else 2)
                for token, logprob in _by_id([entry]).items()
            }
            or None
        )
    return tuple(told)


def _by_id(entries: Any) -> dict[int, float]:
    """Return log-probabilities by id of entries [log-probability, id, text], as far as they have one."""
    return {
        entry[1]: float(entry[0])
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, list) and len(entry) >= 2 and type(entry[1]) is int and is_logprob(entry[0])
    }
