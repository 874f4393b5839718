"""A process that lays out conversations by a chat template, and does nothing else.

A chat template is a program that came with the weights. In a process of its own it can loop or ask for memory
without end: what it may take is bounded, and whoever started this process goes on.

Started by `chat_template.py` by this file's path, with the folders where jinja2 may be; it imports that and
the standard library. It answers JSON line by line: `{"template", "cpu_s", "memory_bytes", "characters"}` with
`{}` or `{"fault"}`, then each conversation of a batch `{"conversations", "variables"}` with `{"text"}`,
`{"refusal"}` (the template refuses it) or `{"fault"}` (no conversation will do).
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
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
import jinja2.utils


def main() -> None:
    """Answer until standard input ends."""
    for signal_number in (signal.SIGINT, signal.SIGHUP):  # whoever started this decides when to end
        signal.signal(signal_number, signal.SIG_IGN)
    lines, answers = sys.stdin.buffer, sys.stdout.buffer
    asked = json.loads(lines.readline())
    try:
        signal.setitimer(signal.ITIMER_PROF, asked["cpu_s"])
        _bound_memory(asked["memory_bytes"])
        template = compiled(asked["template"])
    except Exception as problem:
        _answer(answers, {"fault": f"it is no template: {_said(problem)}"})
        return
    _answer(answers, {})
    for line in lines:
        batch = json.loads(line)
        for turns in batch["conversations"]:
            # Its default action ends this process, also in the middle of one long operation.
            signal.setitimer(signal.ITIMER_PROF, asked["cpu_s"])
            _answer(answers, _laid_out(template, turns, batch["variables"], asked["characters"]))
        signal.setitimer(signal.ITIMER_PROF, 0)


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
) -> dict[str, str]:
    try:
        text = template.render(messages=turns, tools=None, documents=None, **variables)
    except (MemoryError, OverflowError):
        return {"fault": "it needs more memory than a conversation can"}
    except Exception as problem:
        return {"refusal": _said(problem)}
    if len(text) > characters:
        return {"fault": f"it makes {len(text)} characters of one conversation; {characters} are allowed"}
    return {"text": text}


def _said(problem: Exception) -> str:
    """Return what a template says when it refuses, in its own words; of other problems also their kind."""
    text = " ".join(str(problem).split())[:200]
    return text if type(problem) is jinja2.TemplateError else f"{type(problem).__name__}: {text}"


def _bound_memory(limit: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    known = [bound for bound in (soft, hard, limit) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(answers: BinaryIO, value: Mapping[str, str]) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
