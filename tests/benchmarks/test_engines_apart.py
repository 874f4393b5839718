import json
from collections.abc import Mapping
from pathlib import Path

import engines_apart
import pytest

from modeltest.api import Completion, Sample, Score
from modeltest.plain.contracts import to_plain

CHOICES = engines_apart.Work("BoolQ, 2", ())
TEXTS = engines_apart.Work("GSM8K, 2", (), is_of_choices=False)


def written(folder: Path, completions: Mapping[str, Completion], *, seconds: float = 2.0) -> Path:
    folder.mkdir()
    lines = []
    for name, completion in completions.items():
        score = Score(name, "law", "humanities", "A", error=completion.error)
        lines.append(json.dumps({"sample": to_plain(Sample(score, completion, "00"))}, separators=(",", ":")))
    (folder / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"timing_s": {"run": seconds}}), encoding="utf-8")
    return folder


def choices(name: str, *logprobs: float) -> Completion:
    return Completion(name, choice_logprobs=logprobs)


def test_another_answer_is_a_near_tie_only_where_either_side_is_as_good_as_undecided(tmp_path: Path) -> None:
    ours = {"a": choices("a", -1.0, -2.0), "b": choices("b", -1.0, -1.0005), "c": choices("c", -1.0, -3.0)}
    theirs = {"a": choices("a", -2.0, -1.5), "b": choices("b", -1.5, -1.0), "c": choices("c", -1.0, -3.0)}
    found = engines_apart.hold(
        CHOICES, "vllm", written(tmp_path / "ours", ours, seconds=1.5), written(tmp_path / "hf", theirs)
    )
    assert (found.questions, found.equal, found.largest_difference) == (3, 1, 1.0)
    assert found.near_ties == ("b",)
    assert found.flips == ("a (margin 0.500)",)
    assert (found.seconds, found.reference_seconds) == (1.5, 2.0)


def test_texts_are_held_to_each_other_character_by_character(tmp_path: Path) -> None:
    ours = {"a": Completion("a", text="It is 4."), "b": Completion("b", text="Six")}
    theirs = {"a": Completion("a", text="It is 5."), "b": Completion("b", text="Six")}
    found = engines_apart.hold(
        TEXTS, "vllm", written(tmp_path / "ours", ours), written(tmp_path / "hf", theirs)
    )
    assert (found.questions, found.equal, found.largest_difference) == (2, 1, None)
    assert found.near_ties == ("a from character 6",)


@pytest.mark.parametrize("work", [CHOICES, TEXTS])
def test_a_question_that_failed_is_no_answer(work: engines_apart.Work, tmp_path: Path) -> None:
    failed = {"a": Completion("a", error="out of memory")}
    runs = written(tmp_path / "ours", failed), written(tmp_path / "hf", failed)
    with pytest.raises(ValueError, match="out of memory"):
        engines_apart.hold(work, "vllm", *runs)
