"""`modeltest certificate`: what an acceptance run certifies, checked by somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest.cli.execute import ExecutionOptions, how
from modeltest.options.certificate import recomputation
from modeltest.options.limits import limit_options, limits_of

if TYPE_CHECKING:
    from modeltest.library.certificates import Verified


@click.group()
def certificate() -> None:
    """Check the certificates that `modeltest accept` writes: certificate.json in the directory of its run.

    What one proves, and what it does not, is in docs/certificate.md.
    """


@click.command()
@click.argument("path", metavar="FILE|RUN", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="PACK",
    help="The reference pack: with it the answers are scored and judged again, without a model.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check the signature beside the certificate by these public keys, each behind a name (ssh-keygen).",
)
@click.option("--signer", metavar="NAME", help="Whose signature it must be, by its name in that file.")
@limit_options
@click.option("-v", "--verbose", is_flag=True, help="Show the worker's output when it has ended.")
def verify(path: Path, reference: Path | None, as_json: bool, verbose: bool, **options: Any) -> int:
    """Check a certificate against the run that it is of: run.json, every answer, the decision.

    FILE is a certificate, RUN the directory of a run. Of a certificate alone nothing can be checked but that
    it does not contradict itself. With --recompute some questions are asked again here, and the answers
    compared within what rounding does to two correct computations.

    Ends with 0 when everything that was asked for held; with 1 when something
    differs, or could not be checked; with 2 for what is no certificate.
    """
    from modeltest.library import certificates

    build: Any = recomputation.callback
    own = [parameter.name for parameter in recomputation.params if parameter.name is not None]
    asked = build(**{name: options[name] for name in own})
    execution = ExecutionOptions(dry_run=False, verbose=verbose, limits=limits_of(options))
    signer = certificates.signer_of(options["allowed_signers"], options["signer"])
    by = certificates.VerifyBy(reference, asked, signer)
    found = certificates.verify(path, by, how(execution))
    return _tell(found, as_json=as_json)


@certificate.command()
@click.argument("path", metavar="FILE|RUN", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="A private key of OpenSSH; or a public one, whose private one an agent holds.",
)
def sign(path: Path, key: Path) -> None:
    """Sign a certificate with a key of OpenSSH (ssh-keygen -Y sign), and print where the signature is.

    FILE is a certificate, RUN the directory of a run. The signature lies beside it, in certificate.json.sig.
    """
    from modeltest.certificate import signing
    from modeltest.certificate.files import read_certificate
    from modeltest.library.certificates import certificate_in

    file = certificate_in(path)
    read_certificate(file)
    click.echo(signing.sign(file, key))


verify.params += recomputation.params
certificate.add_command(verify)


def _tell(found: Verified, *, as_json: bool) -> int:
    if as_json:
        checks = [
            {"name": each.name, "state": each.state.value, "detail": each.detail} for each in found.checks
        ]
        said = found.certificate.acceptance.decision.value
        click.echo(json.dumps({"is_held": found.is_held, "decision": said, "checks": checks}, indent=2))
        return 0 if found.is_held else 1
    for each in found.checks:
        click.echo(f"{each.state.value:<12} {each.name}: {each.detail}")
    decision = found.certificate.acceptance.decision.value
    accepted = "accepted" if found.certificate.is_accepted else "not accepted"
    click.echo(f"{found.path}: {decision}, the candidate is {accepted}")
    return 0 if found.is_held else 1
