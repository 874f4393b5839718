"""`test_result/`: the answers and accuracies of the precision test before MindIE's `tests/modeltest`.

- `cache0.csv`, without a header: subject, number of the question in it, right answer, given answer. An answer
  that cannot be read is -1.
- `result_0_classes_acc.json`: accuracy by category; `Avg` over all questions, `Avg(Hard)` over C-Eval Hard.
- `result_0_subject_acc.json`: accuracy by subject.

Source: the precision test of atb_speed_sdk in Ascend/MindIE-LLM.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from modeltest.api import AccuracySummary, PrerequisiteError, RunResult, Score, Verdict
from modeltest.machine.files import open_atomic, write_json

FOLDER = "test_result"
NO_ANSWER = "-1"

_HARD = "Hard"


def answers_refusal(result: RunResult) -> str | None:
    """Return why `result` gives no such folder: it has no place to say that a question failed."""
    if result.verdict is Verdict.INVALID:
        return f"the run is INVALID, which these files cannot say: {'; '.join(result.reasons)}"
    return None


def write_answers(result: RunResult, summary: AccuracySummary, directory: Path) -> Sequence[Path]:
    """Write the folder into `directory` and return the paths of its files.

    Raises: PrerequisiteError when one cannot be written.
    """
    folder = directory / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {folder}: {problem.strerror}") from problem
    answers = folder / "cache0.csv"
    with open_atomic(answers) as file:
        csv.writer(file, lineterminator="\n").writerows(
            _in_order((sample.score for sample in result.samples), list(summary.subjects))
        )
    classes, subjects = folder / "result_0_classes_acc.json", folder / "result_0_subject_acc.json"
    write_json(classes, _by_class(summary))
    write_json(subjects, {name: part.accuracy for name, part in summary.subjects.items()})
    return answers, classes, subjects


def _in_order(scores: Iterable[Score], subjects: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return the lines in the order of the questions, whichever was answered first."""
    place = {subject: index for index, subject in enumerate(subjects)}
    lines = [(one.subject, _number(one), one.expected, one.predicted or NO_ANSWER) for one in scores]
    return sorted(lines, key=lambda line: (place[line[0]], len(line[1]), line[1]))


def _number(score: Score) -> str:
    """Return what of the id follows the subject: the row of the question, from 0."""
    return score.request_id.removeprefix(f"{score.subject}/")


def _by_class(summary: AccuracySummary) -> dict[str, float | None]:
    classes = {name: part.accuracy for name, part in summary.categories.items()}
    classes["Avg"] = summary.micro.accuracy
    for title, part in summary.groups.items():
        if title.endswith(_HARD):
            classes[f"Avg({_HARD})"] = part.accuracy
    return classes
