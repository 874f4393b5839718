"""The tasks that task files in TOML describe, one class per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from modeltest.api import AccuracyTask, Record
from modeltest.task_files.answers import LONGEST, answer_in, expected_answer
from modeltest.task_files.declaration import Compare, Declaration, Kind
from modeltest.tasks import MultipleChoice, QuestionTask, YesNo
from modeltest.tasks.number_answers import are_close


class FileChoices(MultipleChoice):
    """Questions with options."""

    def __init__(self, declaration: Declaration) -> None:
        self.wording = declaration.wording


class FileYesNo(YesNo):
    """Questions answered yes or no."""

    def __init__(self, declaration: Declaration) -> None:
        self._template = declaration.prompt

    def prompt(self, record: Record) -> str:
        """Return the prompt of the file with the columns of a row filled in."""
        return self._template.format_map(record.fields)


class FileGeneration(QuestionTask):
    """Questions whose answer is found in what the model writes."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self.max_new_tokens = declaration.max_new_tokens
        self.stop = declaration.stop

    def prompt(self, record: Record) -> str:
        """Return the prompt of the file with the columns of a row filled in."""
        return self._declaration.prompt.format_map(record.fields)

    def answer(self, text: str, record: Record) -> str | None:
        """Return what the pattern finds, in the form in which answers compare."""
        found = answer_in(self._declaration, text)
        return found if found is None or len(found) <= LONGEST else f"{found[: LONGEST - 1]}…"

    def expected(self, record: Record) -> str:
        """Return the answer of a row, in the form in which answers compare."""
        return expected_answer(self._declaration, record.fields["answer"]) or ""

    def agree(self, predicted: str | None, expected: str) -> bool:
        """Say whether an answer is the right one, as a text or as a number."""
        if self._declaration.compare is Compare.NUMBER:
            return are_close(predicted, expected)
        return predicted == expected


TASKS: Mapping[Kind, Callable[[Declaration], AccuracyTask]] = MappingProxyType(
    {Kind.CHOICES: FileChoices, Kind.YES_NO: FileYesNo, Kind.GENERATION: FileGeneration}
)
