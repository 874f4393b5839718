"""The signals that ask a command to end: SIGINT (Ctrl-C), SIGTERM and SIGHUP.

As a rule they are raised where they arrive. During a run that does harm: an exception in the middle of
drawing leaves matplotlib broken for the next file, and libraries turn it into other errors. So while a run or
a suite is carried out, the first one is kept and raised where nothing is half done (`check`); from the second
on, the user being in a hurry, they are raised at once, but never while `run.json` is written (`shielded`).

All state is in the signal handlers of the process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a process."""


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end; what it has begun is cleaned up as at Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Raising:
    """Raises each signal where it arrives, and remembers the first."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the handler of the process.

        Raises: Stopped.
        """
        self.number = self.number or number
        raise Stopped(number)


class Held:
    """Keeps the first signal, and raises those that follow unless they are shielded from."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The first signal that arrived."""

        self.is_hurried = False
        """Another one has been raised since: whatever went wrong after that is its doing."""

        self._is_shielded = False
        self._answer = ""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the handler of the process.

        Raises: Stopped at the second.
        """
        if self.number is None:
            self.number = number
            with suppress(OSError):  # not by way of a stream, which this may have interrupted
                os.write(2, self._answer.encode())
        elif not self._is_shielded:
            self.is_hurried = True
            raise Stopped(number)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Raise no signal inside the block, which must be short: the writing of a small file."""
        before, self._is_shielded = self._is_shielded, True
        try:
            yield
        finally:
            self._is_shielded = before

    @contextmanager
    def answering(self, answer: str) -> Iterator[None]:
        """Say `answer` at once when the first signal arrives inside the block, which goes on."""
        before, self._answer = self._answer, f"{answer}\n" if answer else ""
        try:
            yield
        finally:
            self._answer = before

    @property
    def interrupt(self) -> Stopped | None:
        """The first signal as an exception; `None` when there was none."""
        return None if self.number is None else Stopped(self.number)


Handler = Callable[[int, FrameType | None], None]


@contextmanager
def raise_signals() -> Iterator[Raising]:
    """Have signals raised inside the block; the rule for commands."""
    raising = Raising()
    with _installed(raising):
        yield raising


@contextmanager
def hold_signals() -> Iterator[Held]:
    """Keep signals inside the block. Inside another one, they stay with that: it is the same object."""
    outer = _in_place()
    if outer is not None:
        yield outer
        return
    own = Held()
    with _installed(own):
        yield own


def check() -> None:
    """Raise the signal that is kept, if there is one.

    Raises: Stopped.
    """
    current = _in_place()
    if current is not None and current.interrupt is not None:
        raise current.interrupt


def interrupt_behind(problem: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interrupt that led to `problem`, which a library may have made of it."""
    while problem is not None and not isinstance(problem, KeyboardInterrupt):
        problem = problem.__cause__ or problem.__context__
    return problem


def _in_place() -> Held | None:
    handlers = (signal.getsignal(number) for number in STOPPING)
    return next((handler for handler in handlers if isinstance(handler, Held)), None)


@contextmanager
def _installed(handler: Handler) -> Iterator[None]:
    replaced = {
        number: former for number in STOPPING if _may_replace(number, former := signal.getsignal(number))
    }
    is_main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    try:
        if is_main:
            for number in replaced:
                signal.signal(number, handler)
        yield
    finally:
        if is_main:
            for number, former in replaced.items():
                signal.signal(number, former)


def _may_replace(number: int, former: object) -> bool:
    """Say whether `former` gives way while a run is carried out.

    nohup has SIGHUP ignored, a shell's background job SIGINT: that stays. So does what a program in which
    ModelTest is a library does at SIGTERM and SIGHUP; at Ctrl-C it is the run that is to be stopped, whatever
    an event loop would do later.
    """
    if former is None or former is signal.SIG_IGN:
        return False
    return number == signal.SIGINT or former is signal.SIG_DFL or isinstance(former, (Raising, Held))
