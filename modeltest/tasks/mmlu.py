"""MMLU: 57 subjects of four-way multiple choice in English."""

from __future__ import annotations

from modeltest.api import modes_named
from modeltest.tasks.multiple_choice import MultipleChoice


class MMLU(MultipleChoice):
    """Massive multitask language understanding, test split with shots from dev, in the words of `ENGLISH`.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/mmlu/default; Hendrycks et al.
    2021 for subjects and categories.
    """

    name = "mmlu"
    title = "MMLU"
    dataset = "mmlu"
    modes = modes_named("full_MMLU", "sample_MMLU")
    option_count = 4
