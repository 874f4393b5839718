"""`modeltest reference`: packs of questions with a reference's answers, made, shown and verified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest.api import Role
from modeltest.cli.execute import ExecutionOptions, how, typed
from modeltest.options.limits import limit_options, limits_of
from modeltest.options.references import reference_make

if TYPE_CHECKING:
    from modeltest.api import Pack
    from modeltest.packs.distances import Distance

_PACK = click.argument("path", metavar="FILE", type=click.Path(path_type=Path))


@click.group()
def reference() -> None:
    """Make, show and verify reference packs: what a port is judged by, in one file.

    A pack has the questions of datasets as token ids with the answers of a reference, pieces of text with the
    log-probability of each token, and what rounding alone makes of both (docs/reference-packs.md). It holds
    no weights, and needs neither datasets nor tokenizer where a port is judged.
    """


def _making() -> click.Command:
    own = [parameter.name for parameter in reference_make.params if parameter.name is not None]
    build: Any = reference_make.callback

    @click.command("make", help=reference_make.help)
    @limit_options
    @click.option("-v", "--verbose", is_flag=True, help="Show the workers' output when each run has ended.")
    def make(verbose: bool, **options: Any) -> None:
        asked = build(**{name: options[name] for name in own})
        from modeltest.library.references import carry_out_reference

        execution = ExecutionOptions(dry_run=False, verbose=verbose, limits=limits_of(options))
        made = carry_out_reference(asked, command=typed(), how=how(execution))
        _show(made.pack, made.path, made.sha256)
        click.echo(str(made.path))
        click.echo(f"the runs it was made of may go: {made.work}", err=True)

    make.params[:0] = reference_make.params
    return make


reference.add_command(_making())


@reference.command()
@_PACK
def show(path: Path) -> None:
    """Show what is in the pack FILE, and how far each computation is from the reference.

    The shift is the mean of the absolute differences of log-probabilities from the reference's, in nats, of
    choices and of the tokens of texts; with its sign it is small where rounding alone is at work. A flip is
    another answer; the widest is that of the largest margin of the reference. A direction is the reference
    with a small fault, by its name and strength.
    """
    from modeltest.packs.files import pack_digest, read_pack

    _show(read_pack(path), path, pack_digest(path))


@reference.command()
@_PACK
def verify(path: Path) -> None:
    """Check the pack FILE: every digest, every line, every answer by the rule of its task.

    Ends with 0, and with 2 when anything in it is not as it was written, or does not fit.
    """
    from modeltest.acceptance.rescoring import refuse_wrong_scores
    from modeltest.packs.files import pack_digest, read_pack

    pack = read_pack(path)
    refuse_wrong_scores(pack, str(path))
    click.echo(
        f"{path} is sound: {len(pack.questions)} questions, {len(pack.texts)} texts, "
        f"{len(pack.wordings)} prompts as text, {len(pack.manifest.computations)} computations; "
        f"sha256 {pack_digest(path)}"
    )


def _show(pack: Pack, path: Path, sha256: str) -> None:
    from modeltest.packs.distances import distances
    from modeltest.tables import print_rows

    manifest = pack.manifest
    model, first = manifest.model, manifest.computations[0]
    told = sum(len(text.ids) for text in pack.texts)
    print_rows(
        ("pack", path.name),
        [
            ("sha256", sha256),
            ("bytes", f"{path.stat().st_size}"),
            ("made", f"{manifest.created} by ModelTest {manifest.modeltest_version}"),
            ("model", f"{model.name} ({model.model_type}), {model.dtype or 'no dtype named'}"),
            ("weights", model.fingerprint or "-"),
            ("tokenizer", model.tokenizer_sha256 or "-"),
            ("reference", f"engine {first.engine}, {first.dtype} on {first.device}"),
            ("texts", f"{len(pack.texts)}, {told} tokens told"),
            ("prompts as text", f"{len(pack.wordings)}"),
        ],
    )
    print_rows(("task", "questions", "right", "protocol", "shots", "left out"), list(_tasks(pack)))
    header = (
        *("computation", "role", "dtype", "batch", "questions", "flips", "widest"),
        *("shift", "signed", "tokens", "shift", "signed"),
    )
    found = distances(pack)
    rows = [_row(each) for each in found if each.computation.role is not Role.DIRECTION]
    print_rows(header, [_reference_row(pack), *rows])
    if directions := [each for each in found if each.computation.role is Role.DIRECTION]:
        print_rows(("direction", "dtype", "tokens", "shift", "signed"), list(map(_direction_row, directions)))


def _tasks(pack: Pack) -> Iterator[tuple[str, ...]]:
    for task in pack.manifest.tasks:
        names = [question.id for question in pack.questions if question.task == task.task]
        right = sum(pack.reference[name].correct is True for name in names)
        yield (
            task.task,
            str(task.questions),
            f"{right / len(names):.2%}",
            task.spec.protocol,
            str(task.spec.options.shots or 0),
            str(task.left_out),
        )


def _reference_row(pack: Pack) -> tuple[str, ...]:
    one = pack.manifest.computations[0]
    tokens = str(sum(len(text.ids) for text in pack.texts))
    begin = (one.name, one.role.value, one.dtype, str(one.batch_size))
    return (*begin, str(len(pack.questions)), "-", "-", "-", "-", tokens, "-", "-")


def _row(distance: Distance) -> tuple[str, ...]:
    one = distance.computation
    return (
        one.name,
        one.role.value,
        one.dtype,
        str(one.batch_size),
        str(distance.questions),
        str(distance.flips),
        _number(distance.widest_flip),
        _number(distance.mean_shift),
        _number(distance.signed_shift),
        str(distance.tokens),
        _number(distance.mean_token_shift),
        _number(distance.signed_token_shift),
    )


def _direction_row(distance: Distance) -> tuple[str, ...]:
    one = distance.computation
    return (
        one.fault or one.name,
        one.dtype,
        str(distance.tokens),
        _number(distance.mean_token_shift),
        _number(distance.signed_token_shift),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
