"""The error tree: one root, one exit status per branch.

A message says what was given, what is allowed and what to do about it. The command line prints it as
one line and ends with `exit_code`; anything that is not a `ModelTestError` is a defect of ModelTest.
"""

from __future__ import annotations

from modeltest.api.findings import Finding

_LONGEST = 6000
_END = 300
"""Characters of a message, which may name a path or two, and how many of them are its end."""

_BLANK = "\n\r\t"


class ModelTestError(Exception):
    """Root of every error a user can cause or mend."""

    exit_code = 1
    has_lines = False
    """Whether the message is a line and others below it, rather than one."""

    finding: Finding | None = None
    """The message as values, where it is one of those that are said in every language."""

    def __str__(self) -> str:
        """Return the message as any terminal and file can hold it, whatever names and values are in it."""
        said = super().__str__()
        return "\n".join(map(_shown, said.split("\n"))) if self.has_lines else _shown(said)


class SpecError(ModelTestError):
    """What was asked for is not possible as written: a wrong word, option, path or dtype."""

    exit_code = 2


class PrerequisiteError(ModelTestError):
    """The machine lacks something the run needs: a package, a device, disk space, a task to come."""

    exit_code = 3


class MissingExtra(PrerequisiteError):
    """An optional package is not installed. A run leaves out the file that needs it and goes on."""


class NotOfModel(PrerequisiteError):
    """What was asked for is about a part that the model has not."""


class DatasetError(ModelTestError):
    """A dataset is absent, incomplete or malformed."""

    exit_code = 4


class EngineError(ModelTestError):
    """The engine could not load the model or complete the requests."""

    exit_code = 5


class OutOfMemory(EngineError):
    """A batch did not fit in the memory of the host or the device; a smaller one may."""


class DeviceError(EngineError):
    """The device or its driver failed: this process can use it no more, a fresh one may."""


class RankLost(EngineError):
    """Another rank is gone, so that this one cannot go on; what ended that one says why."""


class RankMessageRefused(EngineError):
    """What came in place of another rank's message is not from one, or is out of its place."""


def _shown(text: str) -> str:
    """Return `text` in one line, what cannot be printed spelled out, and not longer than anybody reads."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - _END]} ... {text[-_END:]}"
    if text.isprintable():
        return text
    return "".join(
        each
        if each.isprintable()
        else " "
        if each in _BLANK
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def error_by_name(name: str) -> type[ModelTestError]:
    """Return the error class called `name`, or the root when there is none.

    The supervisor uses it to raise again what a worker process reported.
    """
    known: list[type[ModelTestError]] = [ModelTestError]
    for error in known:
        if error.__name__ == name:
            return error
        known.extend(error.__subclasses__())
    return ModelTestError
