"""What vLLM leaves in shared memory and in the folder for temporary files, taken away as early as can be.

Its processes know their queues by what they have opened, not by name. So the names go when all have opened
them: whatever ends the processes then, and however, nothing of them stays. (vLLM 0.32 itself leaves the
buffers of ranks on the cpu in /dev/shm after every run.)
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from modeltest.machine.shared_memory import SHARED, mapped

_MEETING = "vllm_dist_"
"""How the file begins by which ranks find each other; the names of their buffers begin with that file's."""

_SIGNALLED = 128
"""Added to a signal's number, the status of who ends by it."""

_SOCKETS_VARIABLE = "VLLM_RPC_BASE_PATH"


class Scratch:
    """A folder for the sockets and files through which vLLM's processes find each other."""

    def __init__(self) -> None:
        # Names of sockets may have 107 bytes: the folder of a run is often longer, this one's name is short.
        self._folder = Path(tempfile.mkdtemp(prefix="v"))

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have vLLM, which asks for the folder of temporary files, find this one.

        A process that is asked to end meanwhile raises SystemExit, so that its caller can clear away.
        """
        before, sockets = tempfile.tempdir, os.environ.get(_SOCKETS_VARIABLE)
        tempfile.tempdir = os.environ[_SOCKETS_VARIABLE] = str(self._folder)
        try:
            with _ending_by_exception():
                yield
        finally:
            tempfile.tempdir = before
            if sockets is None:
                del os.environ[_SOCKETS_VARIABLE]
            else:
                os.environ[_SOCKETS_VARIABLE] = sockets

    def forget_shared_memory(self) -> None:
        """Remove the names of what this process and those it started have mapped."""
        found = {path for file in self._folder.glob(f"{_MEETING}*") for path in SHARED.glob(f"{file.name}*")}
        for process in (os.getpid(), *_descendants(os.getpid())):
            found.update(mapped(process))
        for path in found:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def end_with(processes: Iterable[int]) -> None:
    """Have `processes` killed when this one is asked to end.

    A rank that waits in compiled code for another one hears neither SIGTERM nor that its parent has died.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    ranks = tuple(processes)

    def end(number: int, _: object) -> None:
        for rank in ranks:
            with suppress(ProcessLookupError):
                os.kill(rank, signal.SIGKILL)
        raise SystemExit(_SIGNALLED + number)

    signal.signal(signal.SIGTERM, end)


def end_now() -> NoReturn:
    """End this process and all it has started, at once."""
    for process in list(_descendants(os.getpid())):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(_SIGNALLED + signal.SIGTERM)


@contextmanager
def _ending_by_exception() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def end(number: int, _: object) -> None:
        raise SystemExit(_SIGNALLED + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _descendants(process: int) -> Iterator[int]:
    for folder in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError, ValueError):
            for child in map(int, (folder / "children").read_text().split()):
                yield child
                yield from _descendants(child)
