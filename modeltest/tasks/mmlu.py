"""MMLU: 57 subjects of four-way multiple choice in English."""

from __future__ import annotations

from modeltest.api import Argument, Mode
from modeltest.tasks.multiple_choice import MultipleChoice, Wording


class MMLU(MultipleChoice):
    """Massive multitask language understanding, test split with shots from dev.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/mmlu/default; Hendrycks et al.
    2021 for subjects and categories.
    """

    name = "mmlu"
    title = "MMLU"
    dataset = "mmlu"
    modes = (
        Mode("full_MMLU", "mmlu", "full", (Argument.SHOTS, Argument.BATCH)),
        Mode("sample_MMLU", "mmlu", "sample", (Argument.SHOTS, Argument.BATCH)),
    )
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
