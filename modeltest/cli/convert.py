"""`modeltest convert`: torch weights as safetensors, which every engine here needs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--model",
    "directory",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The checkpoint with the torch files (*.bin, *.pt, *.pth).",
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write a whole checkpoint there instead of safetensors beside the torch files.",
)
@click.option("--force", is_flag=True, help="Replace safetensors of the same names.")
def convert(directory: Path, output: Path | None, *, force: bool) -> None:
    """Rewrite a checkpoint's torch files as safetensors, file by file.

    No code in them is run. Every tensor is read back and compared before any file is in its place; nothing is
    deleted. The same command takes up a conversion that was killed.
    """
    from modeltest.convert import convert_checkpoint

    done = convert_checkpoint(
        directory, output=output, force=force, tell=lambda line: click.echo(line, err=True)
    )
    click.echo(
        f"converted {done.tensors} tensors, {done.tensor_bytes / 1e9:.2f} GB in {done.files} "
        f"file{'s' if done.files > 1 else ''}: {done.target}"
    )
    click.echo(f"the torch files ({done.source_bytes / 1e9:.2f} GB) are still in {directory}")
