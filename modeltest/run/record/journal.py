"""The journal `samples.jsonl`: one line per finished question or timed batch, appended as they finish.

A line is `{"sample": {...}, "digest": "..."}` or `{"measurement": {...}, "digest": "..."}`; of the digest see
`running_digest.py`, of samples that leave out what an earlier line says `likeness.py`. A process killed while
writing leaves at most one torn last line, which readers pass over and the next writer cuts off; a failed
write (full disk) is taken back, so that the file always ends with a whole line. Who reads a journal checks
it: digests, what lines say of themselves, the end of the run.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from modeltest.api import JournalEnd, Measurement, ModelTestError, PrerequisiteError, Sample
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_json
from modeltest.run.record.likeness import EarlierLines
from modeltest.run.record.running_digest import KEY, RunningDigest, has_digest
from modeltest.run.record.self_checks import LineChecks, Recorded

FILE_NAME = "samples.jsonl"

_CHUNK_BYTES = 1 << 16

Entry = TypeVar("Entry", Sample, Measurement)
_KINDS: dict[type, str] = {Sample: "sample", Measurement: "measurement"}
_NOTHING = Recorded()


class JournalWriter:
    """Appends entries to a journal; each `append` is on its way to the disk when it returns."""

    def __init__(self, path: Path) -> None:
        """Open the journal, cut off a torn last line and go on with the digests.

        Raises: ModelTestError when what is there is not what was written.
        """
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._file.truncate(_whole_bytes(path))
        self._digest = RunningDigest()
        self._earlier = EarlierLines()
        self._lines = 0
        for number, line in _numbered_lines(path):
            try:
                self._digest.take(line)
                _entry(line, number, self._earlier)
            except ValueError as problem:
                self._file.close()
                raise _damaged(path, number, problem) from None
            self._lines = number

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, entries: Iterable[Sample | Measurement]) -> None:
        """Append all `entries` or none.

        Raises: PrerequisiteError when they cannot be written; the journal is then as it was before.
        """
        if not os.fstat(self._file.fileno()).st_nlink:
            # Writing to a deleted file succeeds, and hours of results would be lost.
            raise PrerequisiteError(f"cannot write {self._path}: the file was deleted during the run")
        digest, earlier = self._digest.copy(), self._earlier.copy()
        bodies = [_body(entry, number, earlier) for number, entry in enumerate(entries, self._lines + 1)]
        data = b"".join(digest.append(body) for body in bodies)
        end = self._file.seek(0, os.SEEK_END)
        try:
            _write_all(self._file, data)
        except OSError as problem:
            self._file.truncate(end)
            raise PrerequisiteError(f"cannot write {self._path}: {problem.strerror}") from problem
        self._digest, self._earlier = digest, earlier
        self._lines += len(bodies)


class JournalReader(Iterable[Entry]):
    """The entries of one kind, read anew from the file at each iteration, and checked."""

    def __init__(self, path: Path, kind: type[Entry], recorded: Recorded = _NOTHING) -> None:
        self._path = path
        self._kind: type[Entry] = kind
        self._recorded = recorded

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries.

        Raises: ModelTestError naming the first line that is not as it was written, and why.
        """
        for _, entry in _read_lines(self._path, self._recorded, self._kind):
            if isinstance(entry, self._kind):
                yield entry


def read_outcomes(path: Path, recorded: Recorded = _NOTHING) -> Iterator[tuple[str, bool | None]]:
    """Yield id and `correct` of each sample.

    Raises: ModelTestError naming the first line that is not as it was written, and why.
    """
    for number, entry in _read_lines(path, recorded, Sample):
        if not isinstance(entry, Sample):
            raise _damaged(path, number, "not the line of a sample")
        yield entry.score.request_id, entry.score.correct


def count_entries(path: Path) -> int:
    """Return how many whole lines a journal has; none when there is no journal."""
    return sum(1 for _ in _whole_lines(path))


def end_of(path: Path) -> JournalEnd | None:
    """Return what to record of a journal whose run has ended; `None` when it has no line.

    Raises: ModelTestError when a line is not as it was written.
    """
    digest, lines, size = RunningDigest(), 0, 0
    for number, line in _numbered_lines(path):
        try:
            digest.take(line)
        except ValueError as problem:
            raise _damaged(path, number, problem) from None
        lines, size = number, size + len(line)
    return JournalEnd(lines, size, digest.value) if lines else None


def lacks_digests(path: Path) -> bool:
    """Say whether a journal was begun by a version that wrote no digests."""
    first = next(_whole_lines(path), None)
    return first is not None and not has_digest(first)


def _read_lines(
    path: Path, recorded: Recorded, kind: type[Entry]
) -> Iterator[tuple[int, Sample | Measurement | None]]:
    """Yield number and entry of each whole line as far as it is as it was written.

    Instead of an entry that is known to be of another `kind` by the beginning of its line, yield `None`: so a
    report that asks a journal of questions for trials costs no time.

    Raises: ModelTestError.
    """
    digest, earlier, checks, number = RunningDigest(), EarlierLines(), LineChecks(recorded), 0
    end = recorded.end
    begin = f'{{"{_KINDS[kind]}":'.encode()
    for number, line in _numbered_lines(path):
        entry: Sample | Measurement | None = None
        try:
            if end is not None and number > end.lines:
                raise ValueError(f"the run ended with {end.lines} lines, as run.json says")
            digest.take(line)
            if not digest.has_begun or line.startswith(begin):
                entry = _entry(line, number, earlier, has_digests=digest.has_begun)
                checks.take(entry)
        except (ValueError, TypeError) as problem:
            raise _damaged(path, number, problem) from None
        yield number, entry
    if end is not None and (number, digest.value) != (end.lines, end.sha256):
        reason = (
            f"the run ended after {end.lines} lines with the digest {end.sha256[:16]}..., as run.json says"
        )
        raise _damaged(path, number, f"{reason}; this is another end")


def _entry(
    line: bytes, number: int, earlier: EarlierLines, *, has_digests: bool = True
) -> Sample | Measurement:
    """Return what a line says.

    Raises: ValueError.
    """
    value = parse_json(line)
    if not isinstance(value, dict) or len(value.keys() & {*_KINDS.values()}) != 1:
        raise ValueError("neither a sample nor a measurement")
    if KEY in value and not has_digests:
        raise ValueError("its digest is not where the run put it: the line was written again")
    if _KINDS[Sample] in value:
        return earlier.sample(number, value[_KINDS[Sample]])
    return from_plain(Measurement, value[_KINDS[Measurement]])


def _body(entry: Sample | Measurement, number: int, earlier: EarlierLines) -> bytes:
    """Return line `number`, of `entry`, without its closing brace, which the digest comes before."""
    plain = earlier.plain(number, entry) if isinstance(entry, Sample) else to_plain(entry)
    value = {_KINDS[type(entry)]: plain}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)[:-1].encode()


def _damaged(path: Path, number: int, reason: object) -> ModelTestError:
    return ModelTestError(
        f"{path}, line {number}: {reason}; bring the file back as the run left it, or run again"
    )


def _whole_bytes(path: Path) -> int:
    """Return the size of `path` without a torn last line, looked for from its end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - _CHUNK_BYTES)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0


def _whole_lines(path: Path) -> Iterator[bytes]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    return enumerate(_whole_lines(path), start=1)


def _write_all(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
