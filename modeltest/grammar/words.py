"""Readers of single `run.sh` words: text in, value out, `WordError` with the reason when it does not fit."""

from __future__ import annotations

import re

from modeltest.api import BatchRange, Case, Parallel
from modeltest.grammar.bounds import LARGEST_COUNT, LONGEST_S
from modeltest.plain.json_text import JsonError, parse_json

SQUARE_CASES = tuple(Case(tokens, tokens) for tokens in (256, 512, 1024, 2048))
"""What the empty list `[]` stands for."""

CONTEXT_WORDS = ("4k", "8k", "32k", "128k", "200k", "256k", "1000k")
PERFORMANCE_DATASETS = ("boolq", "gsm8k", "humaneval", "ceval", "customize")

WORD_PLACES = {
    "chat": "directly after MODEL",
    "base": "directly after MODEL",
    "lora": "before WEIGHTS",
    "trust_remote_code": "directly after WEIGHTS",
}
"""Words with a meaning of their own, and where they stand: never read as a path."""

_PARALLEL_DEGREES = 8
_INTEGER = r"-?[0-9]{1,18}"  # 18 digits: more than any count, and int() refuses thousands of them
_FLAT = rf"\[(?:{_INTEGER}(?:,{_INTEGER})*)?\]"
_DECIMAL = r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?"


class WordError(ValueError):
    """A word does not fit its place; the message is the reason, without the word itself."""


def is_integer(text: str) -> bool:
    """Say whether `text` is a whole number, negative ones included."""
    return re.fullmatch(_INTEGER, text) is not None


def looks_like_list(text: str) -> bool:
    """Say whether `text` begins as a bracketed list does."""
    return text.lstrip().startswith("[")


def read_count(text: str, *, lowest: int = 1) -> int:
    """Return `text` as a whole number of at least `lowest`."""
    if not is_integer(text):
        raise WordError("it is not a whole number")
    if int(text) < lowest:
        raise WordError(f"it is below {lowest}")
    if int(text) > LARGEST_COUNT:
        raise WordError(f"it is above {LARGEST_COUNT}")
    return int(text)


def read_cases(text: str) -> tuple[Case, ...]:
    """Return `[[in,out],...]` as cases; `[]` stands for `SQUARE_CASES`."""
    if _tighten(text) == "[]":
        return SQUARE_CASES
    return tuple(Case(_positive(first), _positive(second)) for first, second in _read_pairs(text))


def read_ranges(text: str, *, cases: int) -> tuple[BatchRange, ...]:
    """Return `[[lo,hi],...]` as one range of batch sizes per case."""
    ranges = tuple(BatchRange(_positive(low), _positive(high)) for low, high in _read_pairs(text))
    _check_one_per_case(len(ranges), cases)
    for each in ranges:
        if each.lowest > each.highest:
            raise WordError(f"the range [{each.lowest},{each.highest}] is empty: write the lower end first")
    return ranges


def read_batch_sizes(text: str) -> tuple[tuple[int, ...], ...]:
    """Return `n`, `n,m` or `[n,m]` as one tuple of batch sizes for all cases."""
    tight = _tighten(text)
    if "[" in tight or "]" in tight:
        return (_positives(_read_flat(tight)),)
    return (tuple(read_count(number) for number in tight.split(",")),)


def read_batch_sizes_per_case(text: str, *, cases: int) -> tuple[tuple[int, ...], ...]:
    """Return what `read_batch_sizes` does, or `[[n,m],[k]]` as one tuple of batch sizes per case."""
    if not _tighten(text).startswith("[["):
        return read_batch_sizes(text)
    lists = tuple(_positives(numbers) for numbers in _read_nested(text))
    _check_one_per_case(len(lists), cases)
    return lists


def read_limit_ms(text: str) -> float:
    """Return `text` as a positive, finite number of milliseconds."""
    if not re.fullmatch(_DECIMAL, text):
        raise WordError("it is not a positive number")
    limit_ms = float(text)
    if not 0 < limit_ms <= 1000 * LONGEST_S:
        raise WordError(f"it must be above zero and at most {1000 * LONGEST_S}")
    return limit_ms


def read_context_tokens(text: str) -> int:
    """Return a context word such as `32k` in tokens; k is 1024."""
    if text not in CONTEXT_WORDS:
        raise WordError(f"allowed: {', '.join(CONTEXT_WORDS)}")
    return int(text.removesuffix("k")) * 1024


def read_performance_dataset(text: str) -> str:
    """Return the name of a dataset that `performance` may take its prompts from."""
    if text not in PERFORMANCE_DATASETS:
        raise WordError(f"allowed: {', '.join(PERFORMANCE_DATASETS)}")
    return text


def read_batch_groups(text: str) -> int | None:
    """Return a number of batches, or `None` (all of them) for `INF`."""
    return None if text == "INF" else read_count(text)


def read_prompt(text: str) -> str:
    """Return a prompt list or file name as given, unless the shell tore the list apart."""
    if looks_like_list(text) and not text.rstrip().endswith("]"):
        raise WordError(_list_hint(text))
    return read_text(text)


def read_text(text: str) -> str:
    """Return `text` as given unless it is empty."""
    if not text:
        raise WordError("it is empty: is a shell variable unset?")
    return text


def read_path(text: str) -> str:
    """Return a path as given, unless it is a word that belongs elsewhere."""
    if text in WORD_PLACES:
        raise WordError(f"a path of that name is written ./{text}")
    return read_text(text)


def read_kw_args(text: str) -> str:
    """Return the JSON object for the engine as given."""
    try:
        parsed = parse_json(text)
    except JsonError:
        raise WordError("it is not JSON; put it in single quotes") from None
    if not isinstance(parsed, dict):
        raise WordError("it is JSON, but not an object")
    return text


def read_divisor(text: str, *, of: int) -> int:
    """Return a number of nodes that shares out `of` chips evenly."""
    nodes = read_count(text)
    if of % nodes:
        raise WordError(f"{of} chips cannot be shared out evenly to {nodes} nodes")
    return nodes


def read_rank_start(text: str, *, world_size: int, nodes: int) -> int:
    """Return the first rank of one of `nodes` equal nodes."""
    rank = read_count(text, lowest=0)
    chips = world_size // nodes
    if rank >= world_size or rank % chips:
        allowed = ", ".join(map(str, range(0, world_size, chips)[:8]))
        raise WordError(f"with {chips} chips per node the nodes begin at {allowed}{', ...' * (nodes > 8)}")
    return rank


def read_address(text: str) -> str:
    """Return the address of the first node: an IP address or host name."""
    if not re.fullmatch(r"[0-9A-Za-z_.:%-]+", text):
        raise WordError("it is not an address")
    return text


def read_parallel(text: str) -> Parallel:
    """Return up to eight parallel degrees; those not given stay unset."""
    degrees = _read_flat(_tighten(text))
    if len(degrees) > _PARALLEL_DEGREES:
        raise WordError(f"it has {len(degrees)} numbers; at most {_PARALLEL_DEGREES} are allowed")
    if any(degree < 1 and degree != -1 for degree in degrees):
        raise WordError("each number is at least 1, or -1 to leave it to the engine")
    if any(degree > LARGEST_COUNT for degree in degrees):
        raise WordError(f"each number is at most {LARGEST_COUNT}")
    return Parallel(*degrees)


def read_max_position(text: str) -> int | None:
    """Return a maximum position, or `None` for -1 (unset)."""
    return None if text == "-1" else read_count(text)


def explain_place(text: str) -> str:
    """Return where a word with a meaning of its own stands, or an empty text for any other word."""
    return f"{text} stands {WORD_PLACES[text]}" if text in WORD_PLACES else ""


def explain_extra(text: str) -> str:
    """Return why a word may stand where no list is expected, or an empty text."""
    return _list_hint(text) if set("[],") & set(text) else ""


def _tighten(text: str) -> str:
    # Blanks go only beside brackets and commas: `[1 2]` must not become `[12]`.
    return re.sub(r"\s*([\[\],])\s*", r"\1", text).strip()


def _read_pairs(text: str) -> list[tuple[int, int]]:
    pairs = []
    for numbers in _read_nested(text):
        if len(numbers) != 2:
            raise WordError(f"each inner list has two numbers; {list(numbers)} has {len(numbers)}")
        pairs.append((numbers[0], numbers[1]))
    return pairs


def _read_nested(text: str) -> list[tuple[int, ...]]:
    tight = _tighten(text)
    if not re.fullmatch(rf"\[{_FLAT}(?:,{_FLAT})*\]", tight):
        raise WordError(_list_hint(text))
    return [_read_flat(flat) for flat in re.findall(_FLAT, tight)]


def _read_flat(tight: str) -> tuple[int, ...]:
    if not re.fullmatch(_FLAT, tight):
        raise WordError(_list_hint(tight))
    return tuple(int(number) for number in re.findall(_INTEGER, tight))


def _list_hint(text: str) -> str:
    if text.count("[") != text.count("]"):
        return "its brackets do not match: if the shell split a list at a blank, put the list in quotes"
    if looks_like_list(text):
        return "it is not a list of whole numbers of that form"
    return "it is not such a list: put lists in quotes, the shell replaces an unquoted [..] by file names"


def _positives(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if not numbers:
        raise WordError("a list is empty")
    return tuple(_positive(number) for number in numbers)


def _positive(number: int) -> int:
    if number < 1:
        raise WordError(f"every number is at least 1; {number} is not")
    if number > LARGEST_COUNT:
        raise WordError(f"every number is at most {LARGEST_COUNT}; {number} is not")
    return number


def _check_one_per_case(given: int, cases: int) -> None:
    if given != cases:
        raise WordError(f"it has {given} inner list(s) for {cases} case(s): write one per case")
