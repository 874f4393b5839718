"""A process that lays out conversations by a chat template, and does nothing else.

A chat template is a program that came with the weights. In a process of its own it can loop or ask for memory
without end: what it may take is bounded, and whoever started this process goes on.

Started by `chat_template.py` by this file's path, with the folders where jinja2 may be; it imports that and
the standard library. It is asked in lines of JSON: first `{"template", "cpu_s", "memory_bytes",
"characters"}`, then batches of conversations, `{"conversations", "variables"}`. To the first line and to each
conversation it answers with a text, as a line with the number of its bytes and then these (UTF-8; the first
text is empty), or with a line of JSON: `{"refusal"}` (the template refuses the conversation) or `{"fault"}`
(no conversation will do).
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Started by its path, Python looks for modules beside this file first: none of them is meant here.
    sys.path[:] = [folder for folder in sys.path if folder and folder != __file__.rpartition("/")[0]]
    sys.path += [folder for folder in sys.argv[1:] if folder not in sys.path]

import json
import resource
import signal
import time
from collections.abc import Mapping
from datetime import datetime
from io import BufferedWriter, FileIO
from typing import Any, BinaryIO

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
import jinja2.utils

TELL_S = 0.2
TELL_BYTES = 64 << 10
"""Answers are told together, once so much time has passed or so many bytes wait: each telling takes time."""


def main() -> None:
    """Answer until standard input ends."""
    for signal_number in (signal.SIGINT, signal.SIGHUP):  # whoever started this decides when to end
        signal.signal(signal_number, signal.SIG_IGN)
    lines = sys.stdin.buffer
    answers = BufferedWriter(FileIO(sys.stdout.fileno(), "w", closefd=False), TELL_BYTES)
    asked = json.loads(lines.readline())
    try:
        signal.setitimer(signal.ITIMER_PROF, asked["cpu_s"])
        _bound_memory(asked["memory_bytes"])
        template = compiled(asked["template"])
    except Exception as problem:
        _answer(answers, {"fault": f"it is no template: {_said(problem)}"})
        answers.flush()
        return
    _answer(answers, "")
    answers.flush()
    for line in lines:
        batch = json.loads(line)
        told = time.monotonic()
        for turns in batch["conversations"]:
            # Its default action ends this process, also in the middle of one long operation.
            signal.setitimer(signal.ITIMER_PROF, asked["cpu_s"])
            _answer(answers, _laid_out(template, turns, batch["variables"], asked["characters"]))
            if time.monotonic() - told > TELL_S:
                answers.flush()
                told = time.monotonic()
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.flush()


def compiled(source: str) -> jinja2.Template:
    """Return the template, compiled as transformers compiles chat templates.

    Source: transformers 5.23, utils/chat_template_utils.py, `_compile_jinja_template`.
    """
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _Namespace
    return environment.from_string(source)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what an assistant said; here it is read over."""

    tags = {"generation"}  # noqa: RUF012  (the name that jinja2 looks for)

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

    def _said(self, caller: Any) -> Any:
        return caller()


class _Dict:
    """`dict`, without what its class would let a template reach."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        return dict(*values, **named)

    def fromkeys(self, *values: Any) -> dict[Any, Any]:
        return dict.fromkeys(*values)


class _Namespace(jinja2.utils.Namespace):
    """A namespace that keeps no attribute beginning with an underscore."""

    # Positional only: a template may well name an attribute `self`.
    def __init__(self, /, *values: Any, **named: Any) -> None:
        attributes: dict[str, Any] = dict(*values, **named)
        for name in attributes:
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot have the attribute {name!r}: rename it")


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _laid_out(
    template: jinja2.Template, turns: Any, variables: Mapping[str, Any], characters: int
) -> str | dict[str, str]:
    try:
        text = template.render(messages=turns, tools=None, documents=None, **variables)
    except (MemoryError, OverflowError):
        return {"fault": "it needs more memory than a conversation can"}
    except Exception as problem:
        return {"refusal": _said(problem)}
    if len(text) > characters:
        return {"fault": f"it makes {len(text)} characters of one conversation; {characters} are allowed"}
    return text


def _said(problem: Exception) -> str:
    """Return what a template says when it refuses, in its own words; of other problems also their kind."""
    text = " ".join(str(problem).split())[:200]
    return text if type(problem) is jinja2.TemplateError else f"{type(problem).__name__}: {text}"


def _bound_memory(limit: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    known = [bound for bound in (soft, hard, limit) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(answers: BinaryIO, value: str | Mapping[str, str]) -> None:
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")  # as it is: JSON would take most of the time
        answers.write(b"%d\n" % len(text))
        answers.write(text)
    else:
        answers.write(json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    main()
