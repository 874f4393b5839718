"""BoolQ: yes/no questions about a passage, answered by the likelier of two words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from modeltest.api import Record, TaskData, modes_named
from modeltest.tasks.protocols import first_shots
from modeltest.tasks.yes_no import YesNo


class BoolQ(YesNo):
    """Reading comprehension with yes/no answers.

    The modeltest protocol is zero-shot; shots are this harness's extension. Where the dataset offers no
    examples they are the first other questions of the evaluation set, in file order. lm-evaluation-harness
    draws its shots at random from the training split instead, so only its zero-shot numbers can be compared.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/super_glue/boolq.
    """

    name = "boolq"
    title = "BoolQ"
    dataset = "boolq"
    modes = modes_named("full_BoolQ", "sample_BoolQ")

    def prompt(self, record: Record) -> str:
        """Return passage and question."""
        fields = record.fields
        # The SuperGLUE copy has no title: its passage already begins with "title -- ".
        passage = f"{fields['title']} -- {fields['passage']}" if fields.get("title") else fields["passage"]
        return f"{passage}\nQuestion: {fields['question']}?\nAnswer:"

    def examples(self, record: Record, data: TaskData, count: int) -> Sequence[Record]:
        """Return the examples of the dataset, or else the first other questions.

        Raises: SpecError when there are fewer.
        """
        shots = data.shots.get(self.dataset)
        if not shots:
            others = (other for other in data.records if other.id != record.id)
            shots = tuple(islice(others, count))
        return first_shots(shots, count, subject=self.dataset)
