"""Reference packs: the whole file, and each member with digests that fit, so that its reader is reached."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuzz_places import Places
from made_packs import made_pack
from surface import Enter, Surface

from modeltest.acceptance.asking import PackScorer
from modeltest.acceptance.rescoring import refuse_wrong_scores
from modeltest.packs import files
from modeltest.packs.archive import packed
from modeltest.packs.distances import distances

MEMBERS = {
    "pack_prefixes": "prefixes.jsonl",
    "pack_questions": "questions.jsonl",
    "pack_texts": "texts.jsonl",
    "pack_answers": "answers/reference.jsonl",
}


def pack_surfaces(places: Places) -> Iterator[Surface]:
    """Yield the surfaces of a pack."""
    path = places.scratch / "fuzzed.ref"
    files.write_pack(path, made_pack())
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def enter_zip(data: bytes) -> object:
        path.write_bytes(data)
        return _used(path)

    yield Surface("pack_zip", [whole], enter_zip, is_json=False)
    yield Surface("pack_manifest", [members["manifest.json"]], _with_manifest(path, members))
    for name, member in MEMBERS.items():
        yield Surface(name, [members[member]], _with_member(path, members, member))


def _with_manifest(path: Path, members: dict[str, bytes]) -> Enter:
    def enter(data: bytes) -> object:
        path.write_bytes(packed({**members, "manifest.json": _sealed(data)}))
        return _used(path)

    return enter


def _with_member(path: Path, members: dict[str, bytes], member: str) -> Enter:
    def enter(data: bytes) -> object:
        manifest = json.loads(members["manifest.json"])
        manifest["members"][member] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        sealed = _sealed(json.dumps(manifest).encode())
        path.write_bytes(packed({**members, member: data, "manifest.json": sealed}))
        return _used(path)

    return enter


def _sealed(data: bytes) -> bytes:
    """Return a manifest with a seal that fits; as it is where it is none."""
    with suppress(ValueError, RecursionError):
        manifest = json.loads(data)
        if isinstance(manifest, dict):
            return files._sealed({key: value for key, value in manifest.items() if key != "seal"})
    return data


def _used(path: Path) -> object:
    """Return what is made of a pack where it is shown, verified and asked."""
    pack = files.read_pack(path)
    refuse_wrong_scores(pack, str(path))
    return PackScorer(pack), distances(pack)
