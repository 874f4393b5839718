"""`modeltest certificate`: what an acceptance run certifies, checked by somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modeltest.library.certificates import Verified


@click.group()
def certificate() -> None:
    """Check the certificates that `modeltest accept` writes: certificate.json in the directory of its run.

    What one proves, and what it does not, is in docs/certificate.md.
    """


@certificate.command()
@click.argument("path", metavar="FILE|RUN", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="PACK",
    help="The reference pack: with it the answers are scored and judged again, without a model.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def verify(path: Path, reference: Path | None, as_json: bool) -> int:
    """Check a certificate against the run that it is of: run.json, every answer, the decision.

    FILE is a certificate, RUN the directory of a run. Of a certificate alone nothing can be checked but that
    it does not contradict itself. Ends with 0 when everything that was asked for held; with 1 when something
    differs, or could not be checked; with 2 for what is no certificate.
    """
    from modeltest.library.certificates import verify_certificate

    return _tell(verify_certificate(path, reference=reference), as_json=as_json)


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
