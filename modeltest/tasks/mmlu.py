"""MMLU: 57 subjects of four-way multiple choice in English."""

from __future__ import annotations

from modeltest.api import modes_named
from modeltest.tasks.multiple_choice import MultipleChoice, Wording


class MMLU(MultipleChoice):
    """Massive multitask language understanding, test split with shots from dev.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/mmlu/default; Hendrycks et al.
    2021 for subjects and categories.
    """

    name = "mmlu"
    title = "MMLU"
    dataset = "mmlu"
    modes = modes_named("full_MMLU", "sample_MMLU")
    wording = Wording(
        zero_shot=(
            "\nThere is a single choice question about {subject}. "
            "Answer the question by replying A, B, C or D.\n"
            "Q: {question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\n"
            "Let's think step by step. A: "
        ),
        lm_eval_header="The following are multiple choice questions (with answers) about {subject}.\n\n",
        lm_eval_cue="Answer:",
    )
