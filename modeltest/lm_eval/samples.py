"""The samples files of lm-evaluation-harness to answers that can be paired; needs nothing of its package."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modeltest.api import Completion, HarnessAnswers, ModelTestError, Sample, Score, SpecError
from modeltest.lm_eval.results import RESULTS_FILE, read_summary
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_published_json

PREFIX = "samples_"

Line = Mapping[str, Any]
"""One line of a samples file: what one filter made of one question."""

_ARGMAX_METRIC = "acc"
"""Of several choices it judges the one with the largest log-likelihood, and no other metric does."""

_RIGHT, _WRONG = "right", "wrong"


def read_answers(directory: Path) -> HarnessAnswers:
    """Return the answer to every question of every task in `directory`.

    Of each task its first filter counts, and the first of its metrics that judges every question right or
    wrong. A task without such a metric is left out, and a note says so.

    Raises: SpecError where the run kept no samples; ModelTestError for a damaged file.
    """
    paths = sorted(directory.glob(f"{PREFIX}*.jsonl"))
    if not paths:
        raise SpecError(
            f"{directory} kept no answers, and averages cannot be paired: run it again with --log-samples, "
            f"the reference too; the averages with their standard errors are in {RESULTS_FILE}"
        )
    lower = {
        (each.task, each.metric) for each in read_summary(directory).metrics if each.higher_is_better is False
    }
    samples: list[Sample] = []
    notes: list[str] = []
    for path in paths:
        task = path.stem.removeprefix(PREFIX).rpartition("_")[0]
        try:
            lines = _of_first_filter(_lines(path))
            metric = _metric(lines, {name for of, name in lower if of == task})
            if metric is None:
                notes.append(f"task {task} is left out: no metric of it judges each question right or wrong")
                continue
            told = f"task {task}: right and wrong by its metric {metric}, filter {lines[0]['filter']!s:.80}"
            told.encode()  # half a character could be held by no report
            # Held against their types: no report could hold half a character.
            samples += [from_plain(Sample, to_plain(_sample(task, metric, line))) for line in lines]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as problem:
            raise ModelTestError(f"{path} is no samples file of lm-eval: {problem!r}") from problem
        notes.append(told)
    return HarnessAnswers(tuple(samples), tuple(notes))


def _lines(path: Path) -> list[Line]:
    with path.open(encoding="utf-8") as file:
        return [parse_published_json(line) for line in file]


def _of_first_filter(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["filter"] == lines[0]["filter"]]


def _metric(lines: Sequence[Line], lower_is_better: set[str]) -> str | None:
    names: Iterator[str] = (name for name in lines[0]["metrics"] if name not in lower_is_better)
    return next((name for name in names if all(line[name] in (0, 1) for line in lines)), None)


def _sample(task: str, metric: str, line: Line) -> Sample:
    is_right = bool(line[metric])
    question = f"{task}/{line['doc_id']}"
    asked = "".join(line[name] for name in ("doc_hash", "prompt_hash", "target_hash"))
    return Sample(
        Score(
            request_id=question,
            subject=task,
            category="",
            expected=str(line["target"]),
            predicted=_answer(metric, line["filtered_resps"], line["metrics"])
            or (_RIGHT if is_right else _WRONG),
            correct=is_right,
        ),
        Completion(question),
        prompt_sha256=hashlib.sha256(asked.encode()).hexdigest(),
    )


def _answer(metric: str, responses: Sequence[Any], metrics: Sequence[str]) -> str | None:
    """Return the number of the choice that was judged, or the text; `None` where neither is known.

    Log-likelihoods are sums over as many tokens as a choice has. What rounding does to them is not known
    as it is of choices of one token, so that they are no margins here.
    """
    if len(responses) == 1 and isinstance(responses[0], str):
        return responses[0]
    choices = len(responses) // (2 if "acc_mutual_info" in metrics else 1)
    if metric != _ARGMAX_METRIC or choices < 2:
        return None
    values = [_logprob(value) for value, _ in responses[:choices]]
    return str(values.index(max(values)))


def _logprob(value: Any) -> float:
    """Return a log-likelihood, which lm-eval writes as text.

    Raises: ValueError for what is none, or NaN; OverflowError beyond all floats.
    """
    number = float(value)
    if isinstance(value, bool) or math.isnan(number):
        raise ValueError(f"{value!r:.40} is no log-likelihood")
    return number
