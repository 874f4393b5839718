"""C-Eval: 52 subjects of four-way multiple choice in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from modeltest.api import modes_named
from modeltest.tasks.multiple_choice import MultipleChoice, Wording


class CEval(MultipleChoice):
    """The Chinese evaluation suite, val split (test labels are not public) with shots from dev.

    With shots the modeltest protocol asks in the English words of MMLU; without, in Chinese.

    Source: MindIE-LLM tests/modeltest; lm-evaluation-harness 0.4.13 tasks/ceval (`ceval-valid`); Huang et
    al. 2023 for subjects, categories and the hard group.
    """

    name = "ceval"
    title = "C-Eval"
    dataset = "ceval"
    modes = modes_named("full_CEval", "sample_CEval")
    wording = Wording(
        zero_shot=(
            "\n以下是中国关于{subject}考试的单项选择题，请选出其中的正确答案。\n"
            "{question}\n{options}"
            "让我们一步一步思考。答案: "
        ),
        lm_eval_header="以下是中国关于{subject}的单项选择题，请选出其中的正确答案。\n\n",
        lm_eval_cue="答案：",
        subject_field="chinese",
    )
    option_count = 4
    groups: Mapping[str, str] = MappingProxyType({"C-Eval Hard": "hard"})
