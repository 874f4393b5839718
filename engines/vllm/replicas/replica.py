"""A replica: a process with a whole model, which does what the worker asks of it and ends with it."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
import traceback

from engines.common.device_errors import naming_device_errors
from engines.vllm import names
from engines.vllm.leftovers import end_now
from engines.vllm.one_model import OneModel
from engines.vllm.replicas.words import (
    Answered,
    Asked,
    Batch,
    Begin,
    Failure,
    Line,
    Load,
    Peak,
    Prepared,
    Ready,
    Reply,
    Rows,
    Used,
    Word,
)
from modeltest.api import EngineError, ModelTestError, PrerequisiteError

GRACE_S = 5.0
"""How long this process may take to clear away when the worker is gone."""

_MOST_CHARACTERS = 600


def main(descriptor: int) -> None:
    """Do what is asked through the socket of this number until the worker says that it is enough."""
    threading.Thread(target=_end_with_worker, args=(descriptor,), daemon=True).start()
    replica = Replica(Line(socket.socket(fileno=descriptor)))
    try:
        replica.serve()
    finally:
        replica.close()


class Replica:
    """The model of this process, and the connection to who asks."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._model: OneModel | None = None

    def serve(self) -> None:
        """Answer until there is no more to do."""
        while (asked := self._line.hear(Asked)) is not None and asked.what is not Word.END:
            self._line.say(Reply(self._outcome(asked)))

    def close(self) -> None:
        """Free the model."""
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def _outcome(self, asked: Asked) -> Prepared | Ready | Peak | Used | Answered | Failure:
        try:
            with naming_device_errors():
                return self._done(asked)
        except Exception as problem:
            traceback.print_exc()
            return failure_of(problem)

    def _done(self, asked: Asked) -> Prepared | Ready | Peak | Used | Answered:
        what = asked.what
        if what is Word.PREPARE:
            return _prepared()
        if isinstance(what, Load):
            self._model = OneModel(what.spec, what.model, host_bytes=what.host_bytes)
            return Ready(self._model.info)
        model = self._model
        if model is None:
            raise EngineError("a replica is asked before it has loaded a model")
        if isinstance(what, Begin):
            return Ready(model.begin(what.spec))
        if isinstance(what, Rows):
            return self._answered(model, what)
        return Peak(model.peak_memory_bytes()) if what is Word.PEAK else Used(model.usage())

    def _answered(self, model: OneModel, rows: Rows) -> Answered:
        count = 0
        for completions in model.answer(rows):
            count += len(completions)
            self._line.say(Reply(Batch(tuple(completions))))
        return Answered(count)


def failure_of(problem: Exception) -> Failure:
    """Return what the worker is told of `problem`."""
    if isinstance(problem, ModelTestError):
        return Failure(type(problem).__name__, str(problem))
    text = " ".join(str(problem).split())
    return Failure(EngineError.__name__, f"{type(problem).__name__}: {text:.{_MOST_CHARACTERS}}")


def _prepared() -> Prepared:
    try:
        return Prepared(names.device_type())
    except ImportError as problem:
        raise PrerequisiteError(f"vLLM cannot be imported: {problem}") from problem


def _end_with_worker(descriptor: int) -> None:
    """End this process when the worker is gone, also in the middle of a load or a step."""
    watch = select.poll()
    watch.register(descriptor, 0)  # nothing but the end is of interest
    watch.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    end_now()
