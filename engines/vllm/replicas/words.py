"""What the worker and its replicas say to each other: lines of JSON through a socket that only they have."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from engines.common.encoding import Encoded
from modeltest.api import Completion, EngineInfo, EngineUsage, ModelInfo, RunSpec
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_published_json

T = TypeVar("T")


class Word(Enum):
    """What the worker asks that needs no more words."""

    PREPARE = "prepare"
    """Import what is heavy."""

    PEAK = "peak"
    USAGE = "usage"
    END = "end"


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model."""

    spec: RunSpec
    """Of one replica: its world size is the ranks over which it is split."""

    model: ModelInfo
    host_bytes: int | None
    """On the cpu, what the replica may take for weights and cache."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Get ready for another run."""

    spec: RunSpec


@dataclass(frozen=True, slots=True)
class Rows:
    """Requests of one kind to answer, as token ids."""

    encoded: Sequence[Encoded]
    batch_size: int
    """Rows in flight together."""

    seeds: Sequence[int] = ()
    """By which the tokens of each row are drawn; none: nothing is drawn."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the worker asks."""

    what: Word | Load | Begin | Rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Some completions; more is said."""

    completions: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The device that vLLM found."""

    device: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded, or ready for another run."""

    info: EngineInfo


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest memory use; `None` when it is not known."""

    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Used:
    """What was done so far."""

    usage: EngineUsage


@dataclass(frozen=True, slots=True)
class Answered:
    """All rows are answered, by so many completions."""

    count: int


@dataclass(frozen=True, slots=True)
class Failure:
    """It could not be done."""

    error: str
    """The class, one of ModelTest's."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a replica says; each thing asked ends with one that is no `Batch`."""

    what: Batch | Prepared | Ready | Peak | Used | Answered | Failure


class Line:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb")

    def say(self, message: Asked | Reply) -> None:
        """Send `message`.

        Raises: OSError when nobody is there.
        """
        self._file.write(json.dumps(to_plain(message), separators=(",", ":")).encode("ascii") + b"\n")
        self._file.flush()

    def hear(self, kind: type[T]) -> T | None:
        """Return the next message; `None` when the other end is gone.

        Raises: ValueError for something else than a `kind`.
        """
        try:
            line = self._file.readline()
        except OSError:  # it was reset
            return None
        # The other end may have died in the middle of a line. NaN may well have been computed.
        return from_plain(kind, parse_published_json(line)) if line.endswith(b"\n") else None
