"""Whether two harnesses wrote the same greedy texts: questions matched by id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from lm_eval_comparison.lm_eval_tasks import ID
from lm_eval_comparison.unique_tokens import shared_length


@dataclass(frozen=True, slots=True)
class Text:
    """What one harness wrote for one question."""

    text: str
    prompt: str


@dataclass(frozen=True, slots=True)
class TextAgreement:
    """How two sets of texts for the same questions compare."""

    questions: int
    equal_prompts: int
    equal_answers: int
    """Of texts, character by character."""

    different: Mapping[str, int]
    """The questions with different texts, and after how many equal characters these part."""

    mean_characters: float
    """Of lm-eval's texts."""

    distinct_answers: int
    """How many texts of lm-eval there are: one would prove little."""


def compare_texts(ours: Mapping[str, Text], theirs: Mapping[str, Text]) -> TextAgreement:
    """Compare what two harnesses wrote, by question.

    Raises: ValueError when they were not asked the same questions, or none.
    """
    if ours.keys() != theirs.keys():
        lone = sorted(ours.keys() ^ theirs.keys())
        raise ValueError(f"{len(lone)} questions were asked on one side only, the first is {lone[0]}")
    if not ours:
        raise ValueError("no questions were asked")
    pairs = {key: (ours[key].text, theirs[key].text) for key in sorted(ours)}
    different = {key: shared_length(*pair) for key, pair in pairs.items() if pair[0] != pair[1]}
    return TextAgreement(
        questions=len(ours),
        equal_prompts=sum(ours[key].prompt == theirs[key].prompt for key in ours),
        equal_answers=len(ours) - len(different),
        different=different,
        mean_characters=mean(len(each.text) for each in theirs.values()),
        distinct_answers=len({each.text for each in theirs.values()}),
    )


def read_lm_eval_texts(path: Path) -> dict[str, Text]:
    """Read the texts that `lm_eval_side` wrote."""
    with path.open(encoding="utf-8") as lines:
        samples = [json.loads(line) for line in lines]
    return {sample["id"]: Text(sample["text"], sample["prompt"]) for sample in samples}


def read_modeltest_texts(run: Path) -> dict[str, Text]:
    """Read the texts in a run directory of `modeltest lm-eval --log-samples`.

    Each comes once for each way of finding the answer in it; they are the same.
    """
    texts = {}
    for path in run.glob("samples_*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            for sample in map(json.loads, lines):
                ((text,),) = sample["resps"]
                texts[sample["doc"][ID]] = Text(text, sample["arguments"]["gen_args_0"]["arg_0"])
    return texts
