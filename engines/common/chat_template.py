"""Conversations as the text of a chat template, within bounds of time and size."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, SpecError, Turn

CPU_S = 5.0
"""Processor time for one conversation. Templates of published models take less than a millisecond."""

WAIT_S = 60.0
"""Time on the clock for one conversation, for a machine that is busy with other things; also to start."""

MEMORY_BYTES = 512 << 20
MOST_CHARACTERS = 16 << 20
"""What one conversation may become: more than any context takes."""

BATCH_CHARACTERS = 1 << 20
"""About how much is handed over at once. It is read whole before anything is answered."""

_OPEN_END = "CONTINUE_FINAL_MESSAGE_TAG "
"""Marks where the last turn ends, so that the text can be cut there. Source: transformers."""


class TemplateRefusal(ValueError):
    """The chat template refuses a conversation."""


class ChatTemplate:
    """The chat template of a tokenizer of transformers, rendered in a process of its own.

    The process is started when the first conversation comes, and kept. A tokenizer whose own code lays out
    conversations does that here: it runs only where that code was trusted.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._process: _TemplateProcess | None = None
        self._lock = threading.Lock()

    def lay_out(self, turns: Sequence[Turn]) -> str:
        """Return a conversation as text, up to where the next answer begins.

        Raises: TemplateRefusal; SpecError where there is no template; EngineError where it cannot be used.
        """
        (text,) = self.lay_out_all([turns])
        if isinstance(text, TemplateRefusal):
            raise text
        return text

    def lay_out_all(self, conversations: Sequence[Sequence[Turn]]) -> list[str | TemplateRefusal]:
        """Return each conversation as text, or why the template refuses it; see `lay_out`."""
        return self._render([_plain(turns) for turns in conversations], add_generation_prompt=True)

    def lay_out_begun(self, turns: Sequence[Turn]) -> str:
        """Return a conversation as text that ends within its last turn, for a model to go on with it.

        Raises: as `lay_out`; also SpecError when the template does not say the last turn as it is.
        """
        plain = _plain(turns)
        last = plain[-1]["content"]
        marked = [*plain[:-1], {**plain[-1], "content": last + _OPEN_END}]
        (text,) = self._render([marked], add_generation_prompt=False)
        if isinstance(text, TemplateRefusal):
            raise text
        at = text.rfind(_OPEN_END.strip())
        if at < 0 or last.strip() not in text:
            raise SpecError(
                f"the chat template of {self._name} does not say the last turn: it cannot be begun"
            )
        is_kept = text[at : at + len(_OPEN_END)] == _OPEN_END
        return text[:at] if is_kept else text[:at].rstrip()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
        self._process = None

    @property
    def _name(self) -> str:
        return str(self._tokenizer.name_or_path)

    def _render(
        self, conversations: list[list[dict[str, str]]], *, add_generation_prompt: bool
    ) -> list[str | TemplateRefusal]:
        if not _is_transformers_own(self._tokenizer):
            return [self._by_own_code(turns, add_generation_prompt) for turns in conversations]
        variables = {**_special_tokens(self._tokenizer), "add_generation_prompt": add_generation_prompt}
        with self._lock:
            if self._process is None:
                self._process = _TemplateProcess(self._source(), template_file(self._name))
            rendered: list[str | TemplateRefusal] = []
            for batch in _batches(conversations):
                rendered += self._process.render(batch, variables)
            return rendered

    def _source(self) -> str:
        try:
            source: str = self._tokenizer.get_chat_template()
        except (ValueError, ImportError) as problem:
            raise _no_template(self._name, problem) from None
        return source

    def _by_own_code(self, turns: list[dict[str, str]], add_generation_prompt: bool) -> str | TemplateRefusal:
        try:
            text: str = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except (ValueError, ImportError) as problem:
            raise _no_template(self._name, problem) from None
        except Exception as problem:
            return TemplateRefusal(" ".join(str(problem).split())[:200])
        return text


def template_file(folder: str) -> str:
    """Return the file of a checkpoint that has its chat template."""
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        if (path := Path(folder) / name).is_file():
            return str(path)
    return folder


class _TemplateProcess:
    """The process, and what is said to it."""

    def __init__(self, source: str, file: str) -> None:
        self._file = file
        try:
            import jinja2
        except ImportError as problem:
            raise SpecError(f"chat templates need jinja2 ({problem}): pip install jinja2") from None
        script = Path(__file__).with_name("template_process.py")
        self._process = process = subprocess.Popen(
            [sys.executable, str(script), str(Path(jinja2.__file__).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        self.end = weakref.finalize(self, _end, process)
        self._unread = bytearray()
        self._read = 0
        """How much of `_unread` has been read all the same."""

        asked = {
            "template": source,
            "cpu_s": CPU_S,
            "memory_bytes": MEMORY_BYTES,
            "characters": MOST_CHARACTERS,
        }
        self._say(asked)
        self._hear()

    def render(
        self, conversations: Sequence[Any], variables: Mapping[str, Any]
    ) -> list[str | TemplateRefusal]:
        """Return the text of each conversation, or why the template refuses it.

        Raises: EngineError.
        """
        self._say({"conversations": conversations, "variables": variables})
        return [self._hear() for _ in conversations]

    def _say(self, value: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed(self._why_gone()) from None

    def _hear(self) -> str | TemplateRefusal:
        """Return a text, empty where all is well and none was asked for, or why the template refuses."""
        deadline = time.monotonic() + WAIT_S
        while (end := self._unread.find(b"\n", self._read)) < 0:
            self._fill(deadline)
        head = self._unread[self._read : end]
        self._read = end + 1
        if not head.startswith(b"{"):
            return self._text(int(head), deadline)
        answer: dict[str, str] = json.loads(head)
        if "fault" in answer:
            raise self._failed(answer["fault"])
        return TemplateRefusal(answer["refusal"])

    def _text(self, size: int, deadline: float) -> str:
        while len(self._unread) - self._read < size:
            self._fill(deadline)
        start, self._read = self._read, self._read + size
        return self._unread[start : self._read].decode("utf-8", "surrogatepass")

    def _fill(self, deadline: float) -> None:
        """Wait for more of what the process says; what has been read of it is forgotten."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            raise self._failed(f"it has not ended a conversation in {WAIT_S:.0f} s")
        if not (read := os.read(pipe, 1 << 20)):
            raise self._failed(self._why_gone())
        del self._unread[: self._read]
        self._read = 0
        self._unread += read

    def _why_gone(self) -> str:
        status = self._process.wait(WAIT_S)
        if status == -signal.SIGPROF:
            return f"it has not ended in {CPU_S:.0f} s of processor time"
        return f"its process ended with status {status}, for want of memory perhaps"

    def _failed(self, why: str) -> EngineError:
        self.end()
        return EngineError(
            f"the chat template in {self._file} cannot be used: {why}; mend it or ask without one"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:  # what was not yet written has no reader any more
            continue
    process.wait()


def _plain(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _batches(conversations: Sequence[Any]) -> list[list[Any]]:
    batches: list[list[Any]] = [[]]
    characters = 0
    for turns in conversations:
        if characters > BATCH_CHARACTERS:
            batches.append([])
            characters = 0
        batches[-1].append(turns)
        characters += sum(len(turn["content"]) for turn in turns)
    return batches


def _is_transformers_own(tokenizer: Any) -> bool:
    """Say whether transformers itself, and no code of the checkpoint, lays out the conversations."""
    own = getattr(type(tokenizer), "apply_chat_template", None)
    return getattr(own, "__module__", "") == "transformers.tokenization_utils_base"


def _special_tokens(tokenizer: Any) -> dict[str, Any]:
    """Return the variables of a template that name special tokens, as plain text."""
    return {
        name: [str(each) for each in token] if isinstance(token, (list, tuple)) else str(token)
        for name, token in tokenizer.special_tokens_map.items()
    }


def _no_template(name: str, problem: Exception) -> SpecError:
    reason = " ".join(str(problem).split())
    return SpecError(f"{name} has no chat template that can be used; ask without one: {reason:.200}")
