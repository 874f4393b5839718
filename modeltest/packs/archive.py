"""The zip file around a pack: equal members give equal bytes, and nothing is unpacked unbounded. Pure."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Collection, Mapping

from modeltest.packs.layout import MANIFEST, MOST_BYTES, MOST_MANIFEST_BYTES

_TIME = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file can name."""

_READABLE = 0o644 << 16
_UNIX = 3
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What zipfile raises for bytes that are no zip file, or another than it reads."""


def packed(members: Mapping[str, bytes]) -> bytes:
    """Return a zip file of `members`: sorted, all of one time, so that equal ones give equal bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, date_time=_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _READABLE
            entry.create_system = _UNIX
            archive.writestr(entry, members[name], compresslevel=9)
    return data.getvalue()


class Archive:
    """A zip file that was looked at and not unpacked yet."""

    def __init__(self, data: bytes) -> None:
        """Look at the table of members.

        Raises: ValueError where there is none, or it names what no pack has.
        """
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGES as problem:
            raise ValueError(f"it is no zip file, or a damaged one ({_said(problem)})") from None
        entries = self._file.infolist()
        self.sizes = {entry.filename: entry.file_size for entry in entries}
        """How large each member says that it is, unpacked."""

        if len(self.sizes) < len(entries):
            raise ValueError("it has two members of one name")
        for entry in entries:
            if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
                raise ValueError(f"its member {entry.filename!r:.90} is encrypted, or compressed otherwise")
        if MANIFEST not in self.sizes:
            raise ValueError(f"it has no {MANIFEST}")
        if self.sizes[MANIFEST] > MOST_MANIFEST_BYTES or sum(self.sizes.values()) > MOST_BYTES:
            raise ValueError(
                f"unpacked it would have {sum(self.sizes.values())} bytes, {self.sizes[MANIFEST]} of them "
                f"{MANIFEST}; {MOST_BYTES} and {MOST_MANIFEST_BYTES} are allowed"
            )

    def refuse_others(self, names: Collection[str]) -> None:
        """Refuse members that are missing, and any beside `names`.

        Raises: ValueError naming the first.
        """
        if missing := sorted(set(names) - self.sizes.keys()):
            raise ValueError(f"its member {missing[0]!r} is missing")
        if unknown := sorted(self.sizes.keys() - set(names)):
            raise ValueError(f"its member {unknown[0]!r:.90} is none that a pack has")

    def read(self, name: str) -> bytes:
        """Return a member; it has at most as many bytes as the table says.

        Raises: ValueError where it is damaged.
        """
        size = self.sizes[name]
        try:
            with self._file.open(name) as member:
                data = member.read(size + 1)
        except _DAMAGES as problem:
            raise ValueError(f"its member {name} is damaged ({_said(problem)})") from None
        if len(data) != size:
            raise ValueError(f"its member {name} has {len(data)} bytes and says {size}")
        return data


def _said(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120] or type(problem).__name__
