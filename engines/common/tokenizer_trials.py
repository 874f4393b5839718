"""What is believed of a tokenizer, tried on texts when it is loaded. See docs/beliefs.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from modeltest.api import EngineError, ModelTestError

PROBES = (
    "The sea is salt. IT IS SO, he said .\nAnswer:",
    "def f(x):\n    return x  # 10 + 1\n",
    "Where is it? Α, Б, é, 海。 Ａ１",
)
"""Texts that begin and end differently: with capitals, blanks side by side, a blank before a stop, letters of
several scripts and of full width."""

_LONG_TEXT = "a b c d e f g h " * 1024
"""More tokens than truncation usually leaves; its half has fewer."""

_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Frame:
    """What a tokenizer adds around every text.

    `front` and `behind` come with the special tokens; `always_front` and `always_behind` are token counts of
    what is added even where none are asked for.
    """

    front: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    always_front: int = 0
    always_behind: int = 0

    def core(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the ids of a text that was encoded without special tokens, and of nothing else."""
        return tuple(ids[self.always_front : len(ids) - self.always_behind])


@contextmanager
def usable(tokenizer: Any) -> Iterator[None]:
    """Say of whatever `tokenizer` raises that its files are damaged: their values are used as they are.

    Raises: EngineError.
    """
    try:
        yield
    except (ModelTestError, MemoryError):
        raise
    except Exception as problem:
        reason = " ".join(str(problem).split())
        raise EngineError(
            f"the tokenizer of {_name(tokenizer)} cannot be used ({type(problem).__name__}: {reason:.300}); "
            "copy or download its files again"
        ) from problem


def try_frame(tokenizer: Any) -> Frame:
    """Return what `tokenizer` adds in front of texts and behind them, as `PROBES` show it.

    Raises: EngineError where that is not the same for every text.
    """
    plain = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in PROBES]
    added = _added_ids(tokenizer)
    front = _common_beginning(plain, added)
    behind = _common_beginning([ids[len(front) :][::-1] for ids in plain], added)[::-1]
    always = Frame(always_front=len(front), always_behind=len(behind))
    frames: set[tuple[tuple[int, ...], tuple[int, ...]]] | None = None
    for text, ids in zip(PROBES, plain, strict=True):
        if not (core := always.core(ids)):
            continue  # nothing of this text is in the vocabulary
        whole = tuple(tokenizer.encode(text, add_special_tokens=True))
        placed = _placed(whole, core)
        frames = placed if frames is None else frames & placed
        if not frames:
            raise EngineError(
                f"the tokenizer of {_name(tokenizer)} does not add the same tokens around every text (with "
                f"special tokens {text!r} becomes {list(whole)}, without {list(ids)}): where a prompt ends "
                "and a choice begins cannot be told; mend its post-processor"
            )
    if frames is None:
        raise EngineError(
            f"the tokenizer of {_name(tokenizer)} makes no tokens of {PROBES[0]!r}: it is not one for text"
        )
    found_front, found_behind = min(frames, key=lambda pair: len(pair[0]))
    return Frame(found_front, found_behind, len(front), len(behind))


def switch_off_cutting(tokenizer: Any) -> Iterator[str]:
    """Switch truncation and padding off that tokenizer.json asks for, and yield a note for each."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return
    if backend.truncation is not None:
        length = backend.truncation.get("max_length")
        yield f"tokenizer.json truncates texts to {length} tokens: switched off"
        backend.no_truncation()
    if backend.padding is not None:
        yield "tokenizer.json pads texts: switched off"
        backend.no_padding()


def try_lengths(tokenizer: Any) -> None:
    """See that a long text keeps all its tokens, and that a text has the same tokens beside a longer one.

    Raises: EngineError.
    """
    short, half, long = PROBES[0], _LONG_TEXT[: len(_LONG_TEXT) // 2], _LONG_TEXT
    together = tokenizer([short, half, long], add_special_tokens=False, verbose=False)["input_ids"]
    alone = tokenizer.encode(short, add_special_tokens=False)
    if len(together[1]) == len(together[2]) > 1:
        raise EngineError(
            f"the tokenizer of {_name(tokenizer)} makes {len(together[2])} tokens of a text of "
            f"{len(long.split())} words and of its half: it truncates or pads, and cannot be told not to"
        )
    if tuple(together[0]) != tuple(alone):
        raise EngineError(
            f"the tokenizer of {_name(tokenizer)} makes other tokens of a text that is beside a longer one "
            f"({len(together[0])} instead of {len(alone)}): it pads, and cannot be told not to"
        )


def try_vocabulary(tokenizer: Any, embeddings: int) -> None:
    """See that every token has an embedding: devices take whatever lies there for one.

    Raises: EngineError.
    """
    largest = max(tokenizer.get_vocab().values(), default=-1)
    count = max(len(tokenizer), largest + 1)
    if count > embeddings:
        raise EngineError(
            f"the tokenizer in {_name(tokenizer)} has {count} tokens, the model embeddings for "
            f"{embeddings}: the files do not belong together"
        )


def told_changes(tokenizer: Any, frame: Frame) -> Iterator[str]:
    """Yield a note where texts do not come back from their tokens as they were."""
    changed = []
    for text in PROBES:
        ids = frame.core(tokenizer.encode(text, add_special_tokens=False))
        back = tokenizer.decode(list(ids), skip_special_tokens=True)
        if back != text:
            changed.append(_difference(text, back))
    if changed:
        yield f"the tokenizer changes texts: {'; '.join(dict.fromkeys(changed))}"


def told_frame(tokenizer: Any, frame: Frame) -> Iterator[str]:
    """Yield a note where something stands behind texts, which no prompt and no choice ends in."""
    if frame.behind:
        tokens = " ".join(map(str, tokenizer.convert_ids_to_tokens(list(frame.behind))))
        yield f"the tokenizer adds {tokens} behind texts: left out of prompts and choices"


def _name(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "name_or_path", type(tokenizer).__name__))


def _added_ids(tokenizer: Any) -> frozenset[int]:
    """Return the special tokens; not the unknown one, which stands for text."""
    special = frozenset(getattr(tokenizer, "all_special_ids", ()))
    return special - {getattr(tokenizer, "unk_token_id", None)}


def _common_beginning(sequences: Sequence[Sequence[int]], allowed: frozenset[int]) -> tuple[int, ...]:
    common = []
    for ids in zip(*sequences, strict=False):
        if len(set(ids)) > 1 or ids[0] not in allowed:
            break
        common.append(ids[0])
    return tuple(common)


def _placed(whole: tuple[int, ...], core: tuple[int, ...]) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return all ways to read `whole` as `(front, behind)` around `core`."""
    room = len(whole) - len(core)
    return {
        (whole[:at], whole[at + len(core) :]) for at in range(room + 1) if whole[at : at + len(core)] == core
    }


def _difference(text: str, back: str) -> str:
    """Show the first place where two texts differ."""
    at = next(
        (place for place, pair in enumerate(zip(text, back, strict=False)) if pair[0] != pair[1]),
        min(len(text), len(back)),
    )
    begin = max(at - 10, 0)
    end = begin + _SHOWN_CHARACTERS
    return f"{text[begin:end]!r} comes back as {back[begin:end]!r}"
