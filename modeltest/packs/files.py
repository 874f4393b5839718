"""Packs on the disk: written whole or not at all, and checked before anything of them is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import Pack, PackAnswer, PackManifest, SpecError
from modeltest.machine.files import write_bytes
from modeltest.packs import lines
from modeltest.packs.archive import Archive, packed
from modeltest.packs.checks import check_manifest, check_pack
from modeltest.packs.layout import (
    FORMAT,
    MANIFEST,
    MOST_FILE_BYTES,
    PREFIXES,
    QUESTIONS,
    READABLE,
    TEXTS,
    VERSION,
    WORDINGS,
    answers_member,
)
from modeltest.packs.prefixes import shared_prefixes
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_json

_FORMAT, _VERSION, _MEMBERS, _SEAL = "format", "version", "members", "seal"
"""Keys of the manifest beside those of `PackManifest`. The seal is the sha256 of the manifest without it."""

_REMEDY = "copy it anew from where it was made, or make it again with `modeltest reference make`"


@dataclass(frozen=True, slots=True)
class _Member:
    """What the manifest says of another member."""

    bytes: int
    sha256: str


def write_pack(path: Path, pack: Pack) -> str:
    """Write `pack` to `path`, and return the sha256 of the file.

    Equal packs give equal bytes.

    Raises: ValueError for a pack that contradicts itself; PrerequisiteError when it cannot be written.
    """
    check_pack(pack)
    shared = shared_prefixes(pack.questions)
    members = {
        PREFIXES: lines.prefix_lines(shared),
        QUESTIONS: lines.question_lines(pack.questions, shared),
        TEXTS: lines.text_lines(pack.texts),
    }
    if pack.wordings:
        members[WORDINGS] = lines.wording_lines(pack.wordings)
    for computation in pack.manifest.computations:
        answers = pack.answers[computation.name]
        members[answers_member(computation)] = lines.answer_lines(answers.values())
    data = packed({MANIFEST: _manifest_bytes(pack.manifest, members), **members})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read_pack(path: Path, *, sha256: str | None = None, takes_draft: bool = False) -> Pack:
    """Return the pack in `path`, after everything in it was checked.

    `sha256` is what the file must have. A draft is refused unless the caller `takes_draft`.

    Raises: SpecError naming the file, what is wrong with it and what to do.
    """
    data = _data(path, sha256)
    try:
        archive = Archive(data)
        manifest, members = _manifest_of(archive)
        _refuse_draft(manifest, takes_draft=takes_draft)
        pack = _unpacked(manifest, {name: _checked(archive, name, told) for name, told in members.items()})
        check_pack(pack)
    except ValueError as problem:
        raise _refusal(path, problem) from None
    return pack


def read_manifest(path: Path, *, sha256: str | None = None, takes_draft: bool = False) -> PackManifest:
    """Return what the pack in `path` says of itself; its other members are not unpacked.

    Raises: SpecError, as `read_pack`.
    """
    data = _data(path, sha256)
    try:
        manifest, _ = _manifest_of(Archive(data))
        _refuse_draft(manifest, takes_draft=takes_draft)
    except ValueError as problem:
        raise _refusal(path, problem) from None
    return manifest


def pack_digest(path: Path) -> str:
    """Return the sha256 of the pack in `path`, by which it is known.

    Raises: SpecError when it cannot be read.
    """
    return hashlib.sha256(_bytes_of(path)).hexdigest()


def _data(path: Path, sha256: str | None) -> bytes:
    data = _bytes_of(path)
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise SpecError(
            f"{path} is another reference pack than the run began with: its sha256 is {found:.12}, then it "
            f"was {sha256:.12}; bring that file back, or start a new run"
        )
    return data


def _bytes_of(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise SpecError(
                f"{path} is no file; give the reference pack that `modeltest reference make --out FILE` wrote"
            )
        if (size := path.stat().st_size) > MOST_FILE_BYTES:
            raise SpecError(f"{path} has {size} bytes; no reference pack has more than {MOST_FILE_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError) as problem:  # a name may have what no path has
        reason = getattr(problem, "strerror", None) or problem
        raise SpecError(f"reference pack {path} cannot be read: {reason}") from None


def _refusal(path: Path, problem: ValueError) -> SpecError:
    return SpecError(f"{path} is no reference pack that can be used: {problem}; {_REMEDY}")


def _refuse_draft(manifest: PackManifest, *, takes_draft: bool) -> None:
    if manifest.is_draft and not takes_draft:
        raise ValueError("it is a draft, which `modeltest reference make` keeps while it works")


def _manifest_bytes(manifest: PackManifest, members: Mapping[str, bytes]) -> bytes:
    told = {name: _Member(len(data), hashlib.sha256(data).hexdigest()) for name, data in members.items()}
    plain = {_FORMAT: FORMAT, _VERSION: VERSION, **to_plain(manifest), _MEMBERS: to_plain(told)}
    return _sealed(plain)


def _sealed(plain: Mapping[str, Any]) -> bytes:
    seal = hashlib.sha256(lines.compact(plain)).hexdigest()
    return lines.compact({**plain, _SEAL: seal}) + b"\n"


def _manifest_of(archive: Archive) -> tuple[PackManifest, Mapping[str, _Member]]:
    """Return the manifest and what it says of the other members, which are there and no others.

    Raises: ValueError.
    """
    data = archive.read(MANIFEST)
    try:
        plain = parse_json(data)
        if not isinstance(plain, dict) or plain.get(_FORMAT) != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        if (version := plain.get(_VERSION)) not in READABLE:
            raise ValueError(
                f"its version is {version!r:.40}, this ModelTest reads {READABLE[0]} to {READABLE[-1]}: take "
                "one that fits"
            )
        if _sealed({key: value for key, value in plain.items() if key != _SEAL}) != data:
            raise ValueError("it is not as it was written")
        members = from_plain(dict[str, _Member], plain[_MEMBERS])
        own = {_FORMAT, _VERSION, _MEMBERS, _SEAL}
        manifest = from_plain(PackManifest, {key: value for key, value in plain.items() if key not in own})
        check_manifest(manifest)
        names = {PREFIXES, QUESTIONS, TEXTS, *map(answers_member, manifest.computations)}
        names |= {WORDINGS} if manifest.wordings else set()
        if names != members.keys():
            raise ValueError("it does not list the members that follow from it")
    except (ValueError, LookupError) as problem:
        raise ValueError(f"its {MANIFEST}: {problem}") from None
    archive.refuse_others({MANIFEST, *members})
    return manifest, members


def _checked(archive: Archive, name: str, told: _Member) -> bytes:
    data = archive.read(name)
    if (len(data), hashlib.sha256(data).hexdigest()) != (told.bytes, told.sha256):
        raise ValueError(f"its member {name} is not as it was written, as its digest says")
    return data


def _unpacked(manifest: PackManifest, members: Mapping[str, bytes]) -> Pack:
    prefixes = _of(PREFIXES, lines.read_prefixes, members)
    questions = _of(QUESTIONS, lambda data: lines.read_questions(data, prefixes), members)
    texts = _of(TEXTS, lines.read_texts, members)
    answers = {
        computation.name: _by_id(answers_member(computation), members)
        for computation in manifest.computations
    }
    wordings = _of(WORDINGS, lines.read_wordings, members) if manifest.wordings else ()
    return Pack(manifest, tuple(questions), tuple(texts), answers, tuple(wordings))


def _of(name: str, read: Any, members: Mapping[str, bytes]) -> Any:
    try:
        return read(members[name])
    except ValueError as problem:
        raise ValueError(f"{name}, {problem}") from None


def _by_id(name: str, members: Mapping[str, bytes]) -> dict[str, PackAnswer]:
    answers = _of(name, lines.read_answers, members)
    found = {answer.id: answer for answer in answers}
    if len(found) < len(answers):
        raise ValueError(f"{name}: a question or text is answered twice")
    return found
