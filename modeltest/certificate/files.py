"""`certificate.json` on the disk: equal certificates have equal bytes, so that one can be signed."""

from __future__ import annotations

import json
from pathlib import Path

from modeltest.api import CERTIFICATE_FILE, AcceptanceSummary, Certificate, RunResult, SpecError
from modeltest.certificate.making import Witness, certificate_of
from modeltest.machine.files import write_text
from modeltest.machine.source_digest import own_packages, source_digest
from modeltest.packs.files import read_manifest
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_json
from modeltest.version import __version__

FORMAT_VERSION = 1

_VERSION = "format_version"
_MOST_BYTES = 16 * 1024 * 1024
"""A few kilobytes are usual; what is larger is something else."""


def write_certificate(folder: Path, result: RunResult, *, run_sha256: str) -> Path | None:
    """Write the certificate of a run into `folder`, and return its path; `None` of a run that has none.

    `run_sha256` is that of the `run.json` which is about to be written.

    Raises: SpecError when the pack of the run is another now; PrerequisiteError when it cannot be written.
    """
    pack = result.spec.options.pack
    if not isinstance(result.summary, AcceptanceSummary) or pack is None:
        return None
    manifest = read_manifest(Path(pack.path), sha256=pack.sha256)
    certificate = certificate_of(result, manifest, witness(run_sha256))
    path = folder / CERTIFICATE_FILE
    write_text(path, certificate_text(certificate))
    return path


def witness(run_sha256: str) -> Witness:
    """Return what a certificate that is made here and now has beside its run."""
    return Witness(run_sha256, __version__, source_digest(own_packages()))


def certificate_text(certificate: Certificate) -> str:
    """Return the file: JSON with sorted keys."""
    plain = {_VERSION: FORMAT_VERSION, **to_plain(certificate)}
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_certificate(path: Path) -> Certificate:
    """Return the certificate in `path`.

    Raises: SpecError naming the file, and why it is none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        plain = parse_json(path.read_bytes())
        version = plain.pop(_VERSION, None) if isinstance(plain, dict) else None
        if version != FORMAT_VERSION:
            raise ValueError(f"it has format {version}, and this ModelTest reads format {FORMAT_VERSION}")
        return from_plain(Certificate, plain)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise SpecError(
            f"{path} is no certificate that can be read: {reason!s:.200}; give the {CERTIFICATE_FILE} that "
            "`modeltest accept` wrote, or the directory of its run"
        ) from None
