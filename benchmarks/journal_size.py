"""Measures the journal of a full MMLU: its bytes beside those without sharing, and what a report costs.

python benchmarks/journal_size.py --help
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import click
from synthetic.lines import LINES
from synthetic.runs import Plan, write_run

from modeltest import registry
from modeltest.api import AccuracyTask, DatasetInfo, RunResult, Sample, TextPrompt
from modeltest.data.load import load_dataset
from modeltest.plain.contracts import to_plain
from modeltest.run.ending.finish import finish
from modeltest.run.planning.lora import adapters_of, asked_requests
from modeltest.run.record.directory import read_result, write_result
from modeltest.run.record.identity import request_digest
from modeltest.run.record.journal import FILE_NAME, JournalWriter
from modeltest.run.record.running_digest import RunningDigest

MMLU = next(line for line in LINES if line.mode == "full_MMLU")
QUESTIONS = 14_042
SHOTS_TOKENS, QUESTION_TOKENS = 623, 100
"""Means over the full MMLU with five examples, in tokens of a vocabulary of 49,152 (SmolLM2)."""

VOCABULARY = 49_152
BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the journal keeps it."""

    name: str
    tokens: tuple[int, ...]
    sha256: str


@click.command()
@click.option("--data-dir", type=click.Path(exists=True, file_okay=False), help="Holds mmlu/; else drawn.")
@click.option("--model", type=click.Path(exists=True, file_okay=False), help="Whose tokenizer reads them.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Reports written.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(data_dir: str | None, model: str | None, rounds: int, seed: int) -> None:
    """Write the journal of a full MMLU with five examples, and its reports with `modeltest report`.

    Answers are drawn. With --data-dir and --model prompts are those of the dataset; without, they are drawn
    token by token, as long as those are.
    """
    if (data_dir is None) != (model is None):
        raise click.UsageError("--data-dir and --model belong together")
    with tempfile.TemporaryDirectory() as scratch:
        directory = write_run(Path(scratch), Plan(MMLU, 0, 0), seed=seed, questions=QUESTIONS)
        drawn = read_result(directory)
        if data_dir and model:
            result, asked = _of_dataset(drawn, data_dir, model)
        else:
            result, asked = drawn, _drawn(drawn.samples, Random(seed))
        samples = _with_prompts(list(drawn.samples), asked)
        before = _bytes_without_sharing(samples)
        _write(directory, result, samples)
        after = (directory / FILE_NAME).stat().st_size
        click.echo(
            f"{len(samples)} questions, {sum(len(one.tokens) for one in asked) / len(asked):.0f} tokens each"
        )
        click.echo(
            f"journal: {before / 1e6:.1f} MB without sharing, {after / 1e6:.1f} MB: {after / before:.1%}"
        )
        for _ in range(rounds):
            _report(directory)


def _drawn(samples: Sequence[Sample], random: Random) -> list[Asked]:
    shots: dict[str, tuple[int, ...]] = {}
    asked = []
    for sample in samples:
        subject = sample.score.subject
        if subject not in shots:
            shots[subject] = _tokens(random, SHOTS_TOKENS)
        tokens = shots[subject] + _tokens(random, QUESTION_TOKENS)
        asked.append(Asked(sample.score.request_id, tokens, sample.prompt_sha256))
    return sorted(asked, key=lambda one: one.tokens)


def _tokens(random: Random, mean: int) -> tuple[int, ...]:
    return tuple(random.randrange(VOCABULARY) for _ in range(max(5, round(random.expovariate(1 / mean)))))


def _of_dataset(drawn: RunResult, data_dir: str, model: str) -> tuple[RunResult, list[Asked]]:
    """Return the run as one of the dataset, and the prompts of all its questions, sorted as engines do."""
    from tokenizers import Tokenizer

    loaded = load_dataset("mmlu", "full", data_dir=data_dir, shots_needed=True)
    task = registry.load_task("mmlu")
    assert isinstance(task, AccuracyTask)
    spec = replace(drawn.spec, data_dir=data_dir)
    requests = list(asked_requests(task, loaded.data, spec, adapters_of(spec)))
    texts = [one.prompt.text for one in requests if isinstance(one.prompt, TextPrompt)]
    encoded = Tokenizer.from_file(str(Path(model) / "tokenizer.json")).encode_batch(texts)
    asked = [
        Asked(one.id, tuple(found.ids), request_digest(one))
        for one, found in zip(requests, encoded, strict=True)
    ]
    info: DatasetInfo = loaded.info
    return replace(drawn, spec=spec, dataset=info), sorted(asked, key=lambda one: one.tokens)


def _with_prompts(drawn: Sequence[Sample], asked: Sequence[Asked]) -> list[Sample]:
    """Return one sample per prompt, in the order of the prompts: with an answer that was drawn."""
    samples = []
    for number, one in enumerate(asked):
        sample = drawn[number % len(drawn)]
        subject = one.name.partition("/")[0]
        completion = replace(
            sample.completion,
            request_id=one.name,
            prompt_tokens=one.tokens,
            choice_tokens=((330,), (389,), (340,), (422,)),
            choice_is_greedy=(False,) * 4,
        )
        score = replace(sample.score, request_id=one.name, subject=subject)
        samples.append(Sample(score, completion, one.sha256))
    return samples


def _bytes_without_sharing(samples: Sequence[Sample]) -> int:
    digest = RunningDigest()
    return sum(
        len(digest.append(json.dumps({"sample": to_plain(one)}, separators=(",", ":"))[:-1].encode()))
        for one in samples
    )


def _write(directory: Path, result: RunResult, samples: Sequence[Sample]) -> None:
    (directory / FILE_NAME).unlink()
    with JournalWriter(directory / FILE_NAME) as journal:
        for batch in _batches(samples):
            journal.append(batch)
    write_result(directory, result)
    finish(read_result(directory), directory)


def _batches(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for begin in range(0, len(samples), BATCH_SIZE):
        yield samples[begin : begin + BATCH_SIZE]


_MEASURED = """
import resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run([sys.executable, "-m", "modeltest", "report", sys.argv[1]], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds, processor_s = time.perf_counter() - begin, used.ru_utime + used.ru_stime
peak_mb = used.ru_maxrss / 1024
print(f"report: {seconds:.2f} s, {processor_s:.2f} s of the processor, {peak_mb:.0f} MB at most")
sys.exit(done.returncode not in (0, 1))
"""
"""In a process of its own: Linux counts, as the peak of a new process, at least what its parent takes."""


def _report(directory: Path) -> None:
    subprocess.run([sys.executable, "-c", _MEASURED, str(directory)], check=True)


if __name__ == "__main__":
    main()
