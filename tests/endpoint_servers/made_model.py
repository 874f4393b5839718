"""A tiny language model made of hashes: everything it says can be computed again, without a server.

Its tokenizer is a byte-level BPE with few merges, which `write_tokenizer` also writes for transformers. Its
next-token distribution is a function of the ids before: printable text, words, sometimes a Chinese character
of three tokens, and sometimes an end. Other `weights` give other distributions, as a fine-tune or 4-bit
weights would; `noise1e-5` is the base on another batch size, `kernels` in bfloat16 with other kernels.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

WEIGHTS = ("base", "finetune", "int4", "noise1e-5", "kernels")

WORDS = (
    *(" yes", " no", " the", " The", " is", " sea", " salt", " and", " of", "Question", "Answer", " answer"),
    *(" A", " B", " C", " D", "\n", ": ", " 1", " 2", " 3", "是", "否"),
)
BEGIN, END, TURN, END_OF_TURN = "<s>", "</s>", "<|im_start|>", "<|im_end|>"
SPECIALS = (BEGIN, END, TURN, END_OF_TURN)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_MASK = (1 << 64) - 1
_CONTINUATION = range(0x80, 0xC0)
_LEADS = range(0xE4, 0xEA)
"""Of three bytes, whatever the two others are: of Chinese characters."""


def _merges() -> dict[tuple[bytes, bytes], bytes]:
    """Return what is merged, by its rank: each word from its left, once."""
    found: dict[tuple[bytes, bytes], bytes] = {}
    for word in WORDS:
        whole = word.encode()
        for end in range(2, len(whole) + 1):
            found.setdefault((whole[: end - 1], whole[end - 1 : end]), whole[:end])
    return found


MERGES = _merges()
_RANKS = {pair: rank for rank, pair in enumerate(MERGES)}
TOKENS: tuple[bytes, ...] = (*(bytes([byte]) for byte in range(256)), *MERGES.values())
_IDS = {token: place for place, token in enumerate(TOKENS)}
SPECIAL_IDS = {text: len(TOKENS) + place for place, text in enumerate(SPECIALS)}
BEGIN_ID, END_ID, _, END_OF_TURN_ID = SPECIAL_IDS.values()
END_IDS = (END_ID, END_OF_TURN_ID)
VOCABULARY = len(TOKENS) + len(SPECIALS)
_SPLIT = re.compile("(" + "|".join(map(re.escape, SPECIALS)) + ")")


def encode(text: str, *, special: bool = True) -> list[int]:
    """Return the ids of `text`, with the begin of text in front if `special`."""
    ids = [BEGIN_ID] if special else []
    for part in _SPLIT.split(text):
        ids += [SPECIAL_IDS[part]] if part in SPECIAL_IDS else _merged(part)
    return ids


def _merged(text: str) -> list[int]:
    pieces = [bytes([byte]) for byte in text.encode()]
    while len(pieces) > 1:
        rank, place = min((_RANKS.get(pair, len(_RANKS)), i) for i, pair in enumerate(pairwise(pieces)))
        if rank == len(_RANKS):
            break
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
    return [_IDS[piece] for piece in pieces]


def token_bytes(token: int) -> bytes:
    """Return the bytes a token stands for in a text: none of a special one."""
    return TOKENS[token] if token < len(TOKENS) else b""


def decode(ids: Sequence[int], *, skip_special: bool = True) -> str:
    """Return the text of `ids`; half a character becomes a replacement character."""
    names = {place: text.encode() for text, place in SPECIAL_IDS.items()}
    parts = (token_bytes(token) or (b"" if skip_special else names[token]) for token in ids)
    return b"".join(parts).decode(errors="replace")


def lay_out(messages: Sequence[dict[str, str]]) -> str:
    """Return a conversation as its template does, open for the next answer."""
    turns = "".join(f"{TURN}{turn['role']}\n{turn['content']}{END_OF_TURN}\n" for turn in messages)
    return f"{turns}{TURN}assistant\n"


class MadeModel:
    """The distribution of the next token, of one of the `WEIGHTS`."""

    def __init__(self, weights: str = "base") -> None:
        if weights not in WEIGHTS:
            raise ValueError(f"unknown weights {weights!r}; available: {', '.join(WEIGHTS)}")
        self.weights = weights
        self._rows = lru_cache(maxsize=200_000)(self._row)

    def next_logprobs(self, ids: Sequence[int]) -> np.ndarray:
        """Return the log-probabilities [vocabulary] of what stands behind `ids`."""
        return self._noisy(self._rows(_hash_of(ids), _missing_bytes(ids)))

    def prompt_logprobs(self, ids: Sequence[int]) -> list[np.ndarray]:
        """Return those at each place but the first: of what stands behind the first, the first two, ..."""
        rows, value = [], _START
        for place, token in enumerate(ids[:-1]):
            value = _stepped(value, token)
            rows.append(self._noisy(self._rows(value, _missing_bytes(ids[: place + 1]))))
        return rows

    def greedy(self, ids: Sequence[int], count: int, *, ends: Sequence[int] = END_IDS) -> list[int]:
        """Return the most likely continuation: up to `count` tokens, an end among them the last."""
        made: list[int] = []
        while len(made) < count and not (made and made[-1] in ends):
            made.append(int(self.next_logprobs([*ids, *made]).argmax()))
        return made

    def logprob(self, ids: Sequence[int], continuation: Sequence[int]) -> float:
        """Return the log-probability of `continuation` behind `ids`."""
        whole = [*ids, *continuation]
        rows = self.prompt_logprobs(whole)[len(ids) - 1 :]
        return math.fsum(float(row[token]) for row, token in zip(rows, continuation, strict=True))

    def _noisy(self, row: np.ndarray) -> np.ndarray:
        if self.weights != "noise1e-5":
            return row
        rng = np.random.default_rng(random.getrandbits(64))
        return row + rng.uniform(-1e-5, 1e-5, len(row))

    def _row(self, state: int, missing: int) -> np.ndarray:
        logits = 1.5 * _logistic(state) + _BIAS[min(missing, 1)]
        if self.weights == "finetune":
            logits = logits + 0.15 * _logistic(state ^ 0x5EED)
        if self.weights == "kernels":
            logits = logits + 0.02 * _logistic(state ^ 0xBF16)
        if self.weights == "int4":
            logits = np.round(logits * 2) / 2
        logits = logits - logits.max()
        row: np.ndarray = logits - np.log(np.exp(logits).sum())
        row.setflags(write=False)
        return row


def write_tokenizer(folder: Path) -> Path:
    """Write the tokenizer as transformers reads it, and return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = _byte_names()

    def name(token: bytes) -> str:
        return "".join(shown[byte] for byte in token)

    added = [
        {"id": place, "content": text, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for text, place in SPECIAL_IDS.items()
    ]
    begin = {"id": BEGIN, "ids": [BEGIN_ID], "tokens": [BEGIN]}
    single = [{"SpecialToken": {"id": BEGIN, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 0}}]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    whole = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": {BEGIN: begin},
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {name(token): place for place, token in enumerate(TOKENS)},
            "merges": [[name(left), name(right)] for left, right in MERGES],
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _byte_names() -> list[str]:
    """Return the character that stands for each byte in a byte-level vocabulary, as GPT-2's does."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in plain)
    places = {byte: 256 + place for place, byte in enumerate(others)}
    return [chr(places.get(byte, byte)) for byte in range(256)]


_START = 0x9E3779B97F4A7C15


def _stepped(value: int, token: int) -> int:
    return ((value ^ (token + 1)) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & _MASK


def _hash_of(ids: Sequence[int]) -> int:
    value = _START
    for token in ids:
        value = _stepped(value, token)
    return value


_SPREAD = np.arange(1, VOCABULARY + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def _logistic(state: int) -> np.ndarray:
    """Return a logistic variate for each token, made of `state` alone (splitmix64)."""
    mixed = _SPREAD ^ np.uint64(state)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    uniform = np.clip(uniform, 1e-6, 1 - 1e-6)
    result: np.ndarray = np.log(uniform / (1 - uniform))
    return result


def _missing_bytes(ids: Sequence[int]) -> int:
    """Return how many bytes the character at the end of `ids` still wants."""
    tail = b"".join(token_bytes(token) for token in ids[-3:])[-3:]
    for back, byte in enumerate(reversed(tail)):
        if byte not in _CONTINUATION:
            return max(2 - back, 0) if byte >= 0xE0 else 0
    return 0


def _bias() -> np.ndarray:
    """Return what is likely [2, vocabulary]: where a character may begin, and where one must go on."""
    bias = np.full((2, VOCABULARY), -25.0)
    bias[0, 0x20:0x7F] = 0.0
    bias[0, [_IDS[word.encode()] for word in WORDS]] = 2.5
    bias[0, list(_LEADS)] = 1.0
    bias[0, list(END_IDS)] = 1.0
    bias[1, list(_CONTINUATION)] = 0.0
    return bias


_BIAS = _bias()
