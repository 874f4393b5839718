"""How far the answers of two engines are apart on the same questions and the same trained model.

python benchmarks/engines_apart.py --help
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from lm_eval_comparison import machine
from lm_eval_comparison.agreement import compare, read_modeltest
from lm_eval_comparison.processes import CommandFailed, run_command
from lm_eval_comparison.texts import Text, compare_texts

from modeltest.api import Sample
from modeltest.machine.files import write_json
from modeltest.run.record.journal import JournalReader
from modeltest.start import python_command

NEAR_TIE = 1e-3
"""Answers may differ where the two likeliest choices are no further apart than this, in float32."""

_FOLDER = click.Path(file_okay=False, path_type=Path)
_OFFLINE = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked: a task's options, and whether its answers are choices."""

    name: str
    words: tuple[str, ...]
    is_of_choices: bool = True


def _subjects(*names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--subject", name))


WORKS = (
    Work("BoolQ, 200", ("--task", "boolq", "--limit", "200")),
    Work(
        "MMLU, 5 shots, 100",
        (
            *("--task", "mmlu", "--shots", "5", "--protocol", "lm-eval", "--limit", "25"),
            *_subjects("abstract_algebra", "college_medicine"),
            *_subjects("high_school_world_history", "professional_law"),
        ),
    ),
    Work(
        "C-Eval, 5 shots, 100",
        (
            *("--task", "ceval", "--shots", "5", "--protocol", "lm-eval", "--limit", "20"),
            *_subjects("accountant", "college_chemistry", "high_school_history", "law", "physician"),
        ),
    ),
    Work("GSM8K, 32", ("--task", "gsm8k", "--limit", "32"), is_of_choices=False),
)


@dataclass(frozen=True, slots=True)
class Apart:
    """How two runs of one work compare."""

    work: str
    engine: str
    questions: int
    equal: int
    largest_difference: float | None
    """Of any two log-probabilities of the same choice; `None` of texts."""

    near_ties: tuple[str, ...]
    """Questions answered otherwise whose choices are as good as tied, and texts that part."""

    flips: tuple[str, ...]
    """Questions answered otherwise that are no near tie."""

    seconds: float
    reference_seconds: float


@click.command()
@click.option("--model", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--dtype", type=click.Choice(("fp32", "bf16", "fp16")), default="fp32", show_default=True)
@click.option(
    "--engine-python", type=click.Path(path_type=Path), help="Where vLLM is: its engine runs there."
)
@click.option("--server", metavar="URL", help="A server of the same model, for the engine openai.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True, metavar="N")
@click.option("--work", "works", type=click.Choice([work.name for work in WORKS]), multiple=True)
@click.option("--data-dir", type=_FOLDER, envvar="MODELTEST_DATA_DIR", required=True)
@click.option("--output", type=_FOLDER, required=True, help="A new folder for the runs.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(
    works: tuple[str, ...],
    output: Path,
    json_file: Path | None,
    engine_python: Path | None,
    server: str | None,
    **asked: object,
) -> None:
    """Ask engines the same questions and tell where their answers are not those of `hf`.

    In float32, answers may differ only where two choices are as good as tied; in 16 bits the flips are told.

    \b
    Example:
      python benchmarks/engines_apart.py --model DIR --data-dir DATA --output runs \\
          --engine-python VLLM/bin/python --server http://127.0.0.1:8000/v1

    Ends with 1 when float32 answers differ that are no near tie.
    """
    local = ["--model", str(asked["model"]), *_options(asked, "dtype", "batch_size", "data_dir")]
    engines: dict[str, list[str]] = {}
    if engine_python is not None:
        engines["vllm"] = [*local, "--engine-python", str(engine_python)]
    if server is not None:
        served = _options(asked, "batch_size", "data_dir")  # its dtype is the server's own
        engines["openai"] = ["--model", server, "--tokenizer", str(asked["model"]), *served]
    if not engines:
        raise click.UsageError("give --engine-python, --server or both")
    output.mkdir(parents=True)
    found: list[Apart] = []
    try:
        for work in (work for work in WORKS if not works or work.name in works):
            reference = _run(work, "hf", local, output)
            for engine, words in engines.items():
                found.append(hold(work, engine, _run(work, engine, words, output), reference))
                _tell(found[-1])
    except (CommandFailed, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    if json_file:
        write_json(
            json_file,
            {
                "machine": machine.describe(),
                "command": machine.command_line(),
                "apart": [asdict(each) for each in found],
            },
        )
    sys.exit(1 if asked["dtype"] == "fp32" and any(each.flips for each in found) else 0)


def hold(work: Work, engine: str, run: Path, reference: Path) -> Apart:
    """Hold the answers in `run` against those in `reference`.

    Raises: ValueError when other questions were asked, or one failed.
    """
    files = run / "samples.jsonl", reference / "samples.jsonl"
    seconds = {"seconds": _seconds(run), "reference_seconds": _seconds(reference)}
    if not work.is_of_choices:
        texts = compare_texts(_texts(files[0]), _texts(files[1]))
        parts = tuple(f"{name} from character {at}" for name, at in texts.different.items())
        return Apart(work.name, engine, texts.questions, texts.equal_answers, None, parts, (), **seconds)
    ours, theirs = read_modeltest(files[0]), read_modeltest(files[1])
    agreement = compare(ours, theirs)
    margins = {name: min(ours[name].margin, theirs[name].margin) for name in agreement.different}
    return Apart(
        work.name,
        engine,
        agreement.questions,
        agreement.equal_answers,
        agreement.largest_difference,
        tuple(name for name, margin in margins.items() if margin < NEAR_TIE),
        tuple(f"{name} (margin {margin:.3f})" for name, margin in margins.items() if margin >= NEAR_TIE),
        **seconds,
    )


def _options(asked: dict[str, object], *names: str) -> list[str]:
    return [word for name in names for word in (f"--{name.replace('_', '-')}", str(asked[name]))]


def _run(work: Work, engine: str, words: Sequence[str], output: Path) -> Path:
    place = output / f"{work.name.split(',', maxsplit=1)[0]}-{engine}"
    command = python_command("modeltest.cli", "accuracy", "--engine", engine, *work.words, *words)
    run_command([*command, "--output", str(place)], environment=_OFFLINE, log=place.with_suffix(".log"))
    (run,) = place.iterdir()
    return run


def _texts(journal: Path) -> dict[str, Text]:
    samples = list(JournalReader(journal, Sample))
    if failed := [sample for sample in samples if sample.score.error]:
        raise ValueError(f"{journal}: {failed[0].score.request_id} failed: {failed[0].score.error}")
    return {
        sample.score.request_id: Text(sample.completion.text or "", sample.prompt_sha256)
        for sample in samples
    }


def _seconds(run: Path) -> float:
    return float(json.loads((run / "run.json").read_text(encoding="utf-8"))["timing_s"]["run"])


def _tell(found: Apart) -> None:
    apart = "" if found.largest_difference is None else f", at most {found.largest_difference:.2g} apart"
    click.echo(
        f"{found.work} by {found.engine}: {found.equal} of {found.questions} equal{apart}; "
        f"{found.seconds:.1f} s, hf {found.reference_seconds:.1f} s"
    )
    for what, names in (
        ("tie" if found.largest_difference else "text", found.near_ties),
        ("flip", found.flips),
    ):
        for name in names:
            click.echo(f"  {what}: {name}")


if __name__ == "__main__":
    main()
