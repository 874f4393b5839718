"""Certificates signed with a throwaway key, and checked."""

import shutil
import subprocess

import pytest

from modeltest.api import PrerequisiteError, SpecError
from modeltest.certificate.checks import State
from modeltest.certificate.signing import NAMESPACE, Signer, check_signature, sign

with_openssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not here")


@pytest.fixture
def certificate(tmp_path):
    path = tmp_path / "certificate.json"
    path.write_text("{}\n")
    return path


def made_key(folder, name):
    """Return a private key and a file in which its owner is allowed to sign certificates."""
    key = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    allowed = folder / f"{name}.allowed"
    public = key.with_suffix(".pub").read_text().strip()
    allowed.write_text(f'{name}@example.org namespaces="{NAMESPACE}" {public}\n')
    return key, Signer(allowed, f"{name}@example.org")


@with_openssh
def test_a_signature_holds_for_who_gave_it_and_for_nobody_else(certificate, tmp_path):
    key, one = made_key(tmp_path, "one")
    _, other = made_key(tmp_path, "other")
    assert check_signature(certificate, one).state is State.NOT_CHECKED
    assert sign(certificate, key) == tmp_path / "certificate.json.sig"
    held = check_signature(certificate, one)
    assert held.state is State.HELD
    assert "one@example.org" in held.detail
    assert check_signature(certificate, other).state is State.DIFFERS
    assert (
        check_signature(certificate, Signer(one.allowed_signers, "other@example.org")).state is State.DIFFERS
    )


@with_openssh
def test_a_changed_certificate_has_no_signature_any_more_until_it_is_signed_again(certificate, tmp_path):
    key, one = made_key(tmp_path, "one")
    sign(certificate, key)
    certificate.write_text('{"is_accepted": true}\n')
    assert check_signature(certificate, one).state is State.DIFFERS
    sign(certificate, key)
    assert check_signature(certificate, one).state is State.HELD


@with_openssh
def test_a_signature_of_another_kind_of_file_says_nothing(certificate, tmp_path):
    key, one = made_key(tmp_path, "one")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "file", str(certificate)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert check_signature(certificate, one).state is State.DIFFERS


@with_openssh
def test_a_file_that_is_no_key_is_refused(certificate):
    with pytest.raises(SpecError, match="was not signed with"):
        sign(certificate, certificate)


def test_a_key_or_a_file_of_signers_that_is_not_there_is_refused(certificate, tmp_path):
    with pytest.raises(SpecError, match="no key"):
        sign(certificate, tmp_path / "none")
    with pytest.raises(SpecError, match="no file of allowed signers"):
        check_signature(certificate, Signer(tmp_path / "none", "one"))


def test_without_openssh_it_says_what_to_install(certificate, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PrerequisiteError, match="install OpenSSH"):
        sign(certificate, certificate)
