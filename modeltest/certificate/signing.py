"""Signatures of certificates, by OpenSSH: keys that people have, and no scheme of our own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import PrerequisiteError, SpecError
from modeltest.certificate.checks import Check, State
from modeltest.machine.files import write_text

NAMESPACE = "modeltest-certificate"
"""What a signature is for: one that was made of another kind of file says nothing of this."""

SIGNATURE_SUFFIX = ".sig"
_TOOL = "ssh-keygen"


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature a certificate must have."""

    allowed_signers: Path
    """A file of names with their public keys, in the format of `ssh-keygen(1)`."""

    name: str


def sign(path: Path, key: Path) -> Path:
    """Sign the file in `path` with the private `key`, and return where the signature is.

    A passphrase is asked for at the terminal. An agent is asked where `key` is a public key.

    Raises: PrerequisiteError without OpenSSH; SpecError for a key that does not sign.
    """
    _refuse_missing(key, "key")
    done = _asked("sign", "-f", str(key.absolute()), "-n", NAMESPACE, data=path.read_bytes())
    if done.returncode:
        raise SpecError(f"{path} was not signed with {key}: {_said(done.stderr)}")
    signature = signature_of(path)
    write_text(signature, done.stdout.decode())
    return signature


def check_signature(path: Path, signer: Signer) -> Check:
    """Say whether the file in `path` has the signature of `signer`, beside it.

    Raises: PrerequisiteError without OpenSSH; SpecError without the file of signers.
    """
    _refuse_missing(signer.allowed_signers, "file of allowed signers")
    signature = signature_of(path)
    if not signature.is_file():
        return Check("signature", State.NOT_CHECKED, f"there is no {signature}")
    files = ("-f", str(signer.allowed_signers.absolute()), "-s", str(signature.absolute()))
    done = _asked("verify", *files, "-I", signer.name, "-n", NAMESPACE, data=path.read_bytes())
    if done.returncode:
        said = _said(done.stdout + done.stderr)
        return Check("signature", State.DIFFERS, f"it is not that of {signer.name}: {said}")
    return Check("signature", State.HELD, _said(done.stdout))


def signature_of(path: Path) -> Path:
    """Return where the signature of a file is."""
    return path.with_name(path.name + SIGNATURE_SUFFIX)


def _asked(what: str, *words: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    tool = shutil.which(_TOOL)
    if tool is None:
        raise PrerequisiteError(
            f"{_TOOL} is not here, which makes and checks signatures: install OpenSSH, 8.1 or later"
        )
    return subprocess.run([tool, "-Y", what, *words], input=data, capture_output=True, check=False)


def _said(told: bytes) -> str:
    lines = [line.strip() for line in told.decode(errors="replace").splitlines() if line.strip()]
    return "; ".join(lines)[:300] or f"{_TOOL} does not say why"


def _refuse_missing(path: Path, what: str) -> None:
    if not path.is_file():
        raise SpecError(f"there is no {what} {path}")
