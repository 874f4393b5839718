"""`modeltest demo-model`: write a tiny checkpoint to try everything on."""

from __future__ import annotations

from pathlib import Path

import click

from modeltest.demo import DTYPES, FAMILIES, build_demo_model

_DTYPE_BY_WORD = dict(zip(("fp32", "bf16", "fp16"), DTYPES, strict=True))


@click.command("demo-model")
@click.argument("family", type=click.Choice(FAMILIES))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice(tuple(_DTYPE_BY_WORD)),
    default="fp32",
    show_default=True,
    help="Precision of the weights.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Equal seeds give equal files.",
)
@click.option("--force", is_flag=True, help="Replace the demo model in DIR.")
def demo_model(family: str, directory: Path, *, dtype: str, seed: int, force: bool) -> None:
    """Write a tiny checkpoint of FAMILY with random weights and a working tokenizer into DIR.

    Its answers mean nothing; everything else about it is as with a real model, and it runs in seconds.
    """
    build_demo_model(family, directory, dtype=_DTYPE_BY_WORD[dtype], seed=seed, force=force)
    size_bytes = sum(path.stat().st_size for path in directory.iterdir())
    trust = " trust_remote_code" if any(directory.glob("*.py")) else ""
    click.echo(f"wrote a {family} model, {dtype}, seed {seed}, {size_bytes / 1e6:.1f} MB: {directory}")
    click.echo(f"try it: bash run.sh hf_{dtype} sample_BoolQ 8 auto {directory}{trust} 1")
