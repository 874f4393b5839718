"""Calls in processes of their own: MindIE reads its environment once in the life of a process."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, in a server without threads, from which the processes are forked: seconds saved for each.
_CONTEXT.set_forkserver_preload(
    ["torch", "transformers.models.llama.modeling_llama", "engines.mindie.answers"]
)


class Raised(Exception):
    """What a call raised in its process: the name of the type and the text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


def call(
    function: Callable[..., Any],
    *arguments: Any,
    variables: Mapping[str, str],
    cwd: Path | None = None,
    timeout_s: float = 120,
) -> Any:
    """Return what `function` returns in a new process that had `variables` before anything of MindIE."""
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_run, args=(sender, function, arguments, dict(variables), cwd))
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout_s):
            raise AssertionError(f"{function.__name__} did not end in {timeout_s} s")
        outcome, value = receiver.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"{function.__name__} died with status {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if outcome == "raised":
        raise Raised(*value)
    return value


def _run(
    sender: Any, function: Callable[..., Any], arguments: Any, variables: dict[str, str], cwd: Any
) -> None:
    os.environ.update(variables)
    sys.path[:0] = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    if cwd is not None:
        os.chdir(cwd)
    try:
        sender.send(("returned", function(*arguments)))
    except Exception as problem:
        sender.send(("raised", (type(problem).__name__, str(problem))))
