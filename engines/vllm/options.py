"""The options of this engine: `--engine-option NAME=VALUE`, all optional.

compile       yes, no: torch.compile and graphs of the device           [yes where times are taken]
block_size    tokens in a block of the key-value cache                  [the smallest of the platform]
step_tokens   tokens the engine feeds in one step, at most              [see `sizes.py`]
prefix_cache  yes, no: read what earlier rows left in the cache         [yes but where times are taken]
memory_share  of an accelerator's memory that vLLM may take; on the
              cpu of what is free beside the weights, for the cache     [0.9 or what is free; cpu: 0.7]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from modeltest.api import SpecError

_WORDS = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; `None`: nothing."""

    compile: bool | None = None
    block_size: int | None = None
    step_tokens: int | None = None
    prefix_cache: bool | None = None
    memory_share: float | None = None

    @staticmethod
    def parse(given: Mapping[str, str]) -> Options:
        """Return the options of a spec.

        Raises: SpecError for a name or a value that is not one of these.
        """
        known = [field.name for field in fields(Options)]
        for name in given:
            if name not in known:
                raise SpecError(f"engine vllm has no option {name!r}; it has {', '.join(known)}")
        return Options(**{name: _READERS[name](name, value) for name, value in given.items()})


def _word(name: str, value: str) -> bool:
    if value not in _WORDS:
        raise SpecError(f"option {name} of engine vllm is yes or no, not {value!r}")
    return _WORDS[value]


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        raise SpecError(f"option {name} of engine vllm is a whole number above 0, not {value!r}")
    return int(value)


def _share(name: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise SpecError(f"option {name} of engine vllm is above 0 and at most 1, not {value!r}")
    return share


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "compile": _word,
    "block_size": _count,
    "step_tokens": _count,
    "prefix_cache": _word,
    "memory_share": _share,
}
