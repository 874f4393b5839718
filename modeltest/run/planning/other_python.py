"""Asks another interpreter which engines can run in it: the one that `--engine-python` names.

What an engine needs lies there, so only a process there can say what stands in its way. One is asked line by
line as long as a run is planned. The ModelTest there must be this one, file by file: what is planned here is
carried out there.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from modeltest.api import (
    Engine,
    ModelInfo,
    ModelTestError,
    PrerequisiteError,
    RunSpec,
    SpecError,
    Task,
    error_by_name,
)
from modeltest.installation import same_there
from modeltest.machine.source_digest import own_packages, source_digest
from modeltest.plain.contracts import to_plain
from modeltest.run.planning import introduction
from modeltest.start import without_current_directory
from modeltest.version import __version__

ANSWER_S = 120.0
"""How long an answer may take: of a slow disk, from which packages are imported for the first time."""

ANSWERING = "modeltest.run.worker.answering"

_READ_BYTES = 1 << 16
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that engines run in, and the ModelTest that is installed there."""

    path: str
    version: str
    package: Path


class OtherPython:
    """Judges in another interpreter; use it as a context manager, which ends its process."""

    def __init__(self, path: str) -> None:
        """Start it and see that it is a Python with this ModelTest.

        Raises: SpecError for a path that is no Python; PrerequisiteError for one that cannot be used.
        """
        _refuse_no_program(path)
        self._path = path
        self._mark = f"modeltest-{secrets.token_hex(8)} "
        self._unread = b""
        self._printed = b""
        with ExitStack() as opened:
            self._errors = opened.enter_context(tempfile.TemporaryFile())
            self._process = _started([path, introduction.__file__, ANSWERING, self._mark], self._errors)
            opened.callback(_end, self._process)
            self.interpreter = self._introduced(self._hear())
            self._closing = opened.pop_all()

    def __enter__(self) -> OtherPython:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def obstacle(self, engine: Engine, spec: RunSpec) -> str | None:
        """Return why the engine can run nothing there; see `modeltest.api.Demanding`."""
        reason = self._ask("obstacle", engine.name, spec)
        return None if reason is None else str(reason)

    def check(self, engine: Engine, spec: RunSpec, model: ModelInfo) -> None:
        """Have the engine there check the run; see `modeltest.api.Engine.check`.

        Raises: what it raises.
        """
        self._ask("check", engine.name, spec, model)

    def environment(self, engine: Engine, spec: RunSpec, model: ModelInfo) -> dict[str, str]:
        """Return the variables of a worker there: they may depend on what is installed."""
        answer = self._ask("environment", engine.name, spec, model)
        assert isinstance(answer, dict)
        return answer

    def check_task(self, task: Task, spec: RunSpec) -> None:
        """Have the task there check the run.

        Raises: what it raises.
        """
        self._ask("check_task", spec.task, spec)

    def close(self) -> None:
        """End the process, and all that it has started."""
        self._closing.close()

    def _introduced(self, facts: Mapping[str, Any]) -> Interpreter:
        """Return what introduced itself.

        Raises: PrerequisiteError for what is no use.
        """
        version, path = str(facts["version"]), self._path
        if tuple(map(int, version.split("."))) < introduction.OLDEST:
            oldest = ".".join(map(str, introduction.OLDEST))
            raise PrerequisiteError(f"{path} is Python {version}; engines need {oldest} or newer")
        packages = {name: Path(folder) for name, folder in facts["packages"].items()}
        if "modeltest" not in packages:
            raise PrerequisiteError(f"{path} has no ModelTest: {_install(path)}")
        own = own_packages()
        if not _are_same(own, packages):
            raise PrerequisiteError(
                f"the ModelTest of {path}, in {packages['modeltest'].parent}, is not this one, in "
                f"{own['modeltest'].parent}, and what is planned here must be carried out there: "
                f"{_install(path)}"
            )
        if failure := facts.get("failure"):
            mend = f"mend that Python, or {_install(path)}" if facts["lacks"] else "mend that Python"
            raise PrerequisiteError(f"ModelTest does not start in {path} ({failure:.200}): {mend}")
        return Interpreter(path, version, packages["modeltest"])

    def _ask(self, ask: str, of: str, spec: RunSpec, model: ModelInfo | None = None) -> object:
        question = {"ask": ask, "of": of, "spec": to_plain(spec), "model": to_plain(model)}
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # why it is gone is found when its answer does not come
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._hear()
        if "error" in answer:
            raise error_by_name(answer["error"])(answer["text"])
        if "fault" in answer:
            raise ModelTestError(f"{of!r} fails in {self._path}: {answer['fault']:.500}")
        return answer["answer"]

    def _hear(self) -> Mapping[str, Any]:
        """Return the next line that counts.

        Raises: SpecError, PrerequisiteError when none comes.
        """
        assert self._process.stdout is not None
        pipe, deadline, mark = self._process.stdout.fileno(), time.monotonic() + ANSWER_S, self._mark.encode()
        while True:
            line, separator, rest = self._unread.partition(b"\n")
            if separator:
                self._unread = rest
                if line.startswith(mark):
                    answer: Mapping[str, Any] = json.loads(line[len(mark) :])
                    return answer
                self._printed = (self._printed + line + b" ")[:_SHOWN_CHARACTERS]
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise PrerequisiteError(f"{self._path} did not answer within {ANSWER_S:g} s{self._said()}")
            if not (read := os.read(pipe, _READ_BYTES)):
                raise self._no_answer()
            self._unread += read

    def _no_answer(self) -> ModelTestError:
        status = self._process.wait()
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return SpecError(f"{self._path} {ended} and no answer{self._said()}; {_NAME_ONE}")

    def _said(self) -> str:
        """Return, as a part of a sentence, what it printed that was no answer."""
        self._errors.seek(0)
        lines = self._errors.read().split(b"\n")
        last = next((line for line in reversed(lines) if line.strip()), b"")
        text = (self._printed + self._unread + last).decode("utf-8", "replace").strip()
        return f"; it said {text[:_SHOWN_CHARACTERS]!r}" if text else ""


def _started(command: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the other interpreter as the leader of a process group.

    Raises: SpecError.
    """
    environment = without_current_directory({**os.environ, "PYTHONSAFEPATH": "1"})
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    except OSError as problem:
        raise SpecError(f"{command[0]} cannot be started: {problem.strerror}; {_NAME_ONE}") from problem


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what was not yet written has no reader any more
            if pipe is not None:
                pipe.close()
    process.wait()


_NAME_ONE = "name the interpreter of an environment, such as /opt/vllm/bin/python"


def _refuse_no_program(path: str) -> None:
    """Refuse what cannot be a program.

    Raises: SpecError.
    """
    place = Path(path)
    if place.is_dir():
        raise SpecError(f"{path} is a folder; {_NAME_ONE}")
    if not place.exists():
        raise SpecError(f"{path} does not exist; {_NAME_ONE}")
    if not os.access(path, os.X_OK):
        raise SpecError(f"{path} is not executable; {_NAME_ONE}")


def _are_same(own: Mapping[str, Path], other: Mapping[str, Path]) -> bool:
    if own.keys() != other.keys():
        return False
    if all(own[name].resolve() == other[name].resolve() for name in own):
        return True
    try:
        return source_digest(own) == source_digest(other)
    except OSError:
        return False


def _install(path: str) -> str:
    return f"let run.sh add it (MODELTEST_ENGINE_PYTHON={path}), or {same_there(path, __version__)}"
