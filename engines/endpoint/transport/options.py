"""The options of the engine `openai` (`--engine-option NAME=VALUE`), all optional.

served_model    the model to ask, where the server has several             [its only one]
tokenizer       a folder with the files of the model's tokenizer           [the server's /tokenize]
retokenize      `yes`: output tokens are the text cut by `tokenizer`       [no: what the server returns]
context_tokens  prompt and new tokens must fit in it                       [what the server says]
ca_bundle       a file of certificates to trust instead of the system's    [the system's]
headers         a file of further headers, a line `Name: value` each       [none]
allow_http      `yes`: plain http also to public addresses                 [no]
connect_s       seconds until a connection stands                          [10]
first_byte_s    seconds from a request to the first byte of its answer     [600]
idle_s          seconds between two pieces of an answer                    [300]
whole_s         seconds of one attempt in all                              [3600]
retry_s         seconds for which a request is sent again                  [120]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from modeltest.api import RunSpec, SpecError

_LARGEST = 10**7
"""Seconds or tokens: a third of a year, or more than any context."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """The options above, converted."""

    served_model: str | None = None
    tokenizer: str | None = None
    retokenize: bool = False
    context_tokens: int | None = None
    ca_bundle: str | None = None
    headers: str | None = None
    allow_http: bool = False
    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 300.0
    whole_s: float = 3600.0
    retry_s: float = 120.0

    @staticmethod
    def of(spec: RunSpec) -> EndpointOptions:
        """Convert the texts of `--engine-option`.

        Raises: SpecError for an unknown name, a value of the wrong kind, or a file that is not there.
        """
        kinds = {field.name: str(field.type).split(" | ", maxsplit=1)[0] for field in fields(EndpointOptions)}
        values: dict[str, Any] = {}
        for name, text in spec.engine_options.items():
            if name not in kinds:
                raise SpecError(f"engine openai has no option {name!r:.80}; available: {', '.join(kinds)}")
            try:
                values[name] = _CONVERT[kinds[name]](text)
            except (ValueError, KeyError):
                raise SpecError(
                    f"engine openai: option {name} must be {_EXPECTED[kinds[name]]}, not {text!r:.80}"
                ) from None
        options = EndpointOptions(**values)
        options._check()
        return options

    def _check(self) -> None:
        if self.tokenizer is not None and not Path(self.tokenizer).expanduser().is_dir():
            raise SpecError(f"engine openai: tokenizer={self.tokenizer} is no folder")
        for name in ("ca_bundle", "headers"):
            path = getattr(self, name)
            if path is not None and not Path(path).expanduser().is_file():
                raise SpecError(f"engine openai: {name}={path} is no file")
        if self.retokenize and self.tokenizer is None:
            raise SpecError("engine openai: retokenize=yes needs tokenizer=DIR")


def _number(kind: Callable[[str], Any], text: str) -> Any:
    value = kind(text)
    if not 0 < value <= _LARGEST:  # NaN neither
        raise ValueError(text)
    return value


def _text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(text)
    return text


_CONVERT: dict[str, Callable[[str], Any]] = {
    "float": lambda text: _number(float, text),
    "int": lambda text: _number(int, text),
    "str": _text,
    "bool": {"yes": True, "no": False}.__getitem__,
}

_EXPECTED = {
    "float": f"a number above 0, at most {_LARGEST}",
    "int": f"a whole number above 0, at most {_LARGEST}",
    "str": "a text",
    "bool": "yes or no",
}
