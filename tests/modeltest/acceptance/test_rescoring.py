from dataclasses import replace

import pytest
from made_packs import made_pack

from modeltest.acceptance.rescoring import refuse_wrong_scores
from modeltest.api import SpecError

PACK = made_pack()


def _with(name, answer):
    answers = {**PACK.answers[name], answer.id: answer}
    return replace(PACK, answers={**PACK.answers, name: answers})


def test_a_sound_pack_passes():
    refuse_wrong_scores(PACK, "x.ref")


@pytest.mark.parametrize("name", ["reference", "bf16-batch-1"])
@pytest.mark.parametrize(
    ("question", "changes"),
    [
        ("mmlu/anatomy/0", {"predicted": "B"}),
        ("mmlu/anatomy/0", {"correct": False}),
        ("mmlu/anatomy/0", {"margin": 0.5}),
        ("mmlu/anatomy/0", {"logprobs": (-2.0, -1.0, -2.0, -2.0)}),
        ("gsm8k/gsm8k/0", {"correct": False}),
        ("gsm8k/gsm8k/0", {"predicted": "9"}),
    ],
)
def test_an_answer_that_does_not_follow_is_refused_by_its_name(name, question, changes):
    answer = replace(PACK.answers[name][question], **changes)
    with pytest.raises(SpecError, match=rf"x\.ref: the answer of '{name}' to '{question}'"):
        refuse_wrong_scores(_with(name, answer), "x.ref")
