import json
from pathlib import Path

import pytest
from lm_eval_comparison.agreement import Answer, compare, read_lm_eval, read_modeltest

from modeltest.api import Completion, Sample, Score
from modeltest.plain.contracts import to_plain


def answer(*logprobs: float, prompt: str = "p") -> Answer:
    return Answer(logprobs, prompt)


def test_questions_are_matched_by_id_whatever_their_order() -> None:
    ours = {"law/0": answer(-1.0, -2.0), "law/1": answer(-3.0, -2.5)}
    theirs = {"law/1": answer(-3.0, -2.25), "law/0": answer(-1.0, -2.0)}
    found = compare(ours, theirs)
    assert (found.questions, found.equal_answers, found.equal_prompts) == (2, 2, 2)
    assert found.largest_difference == 0.25
    assert found.different == ()
    assert found.distinct_answers == 2


def test_different_answers_and_prompts_are_named_and_counted() -> None:
    ours = {"law/0": answer(-1.0, -2.0), "law/1": answer(-1.0, -2.0)}
    theirs = {"law/0": answer(-2.0, -1.0), "law/1": answer(-1.0, -2.0, prompt="q")}
    found = compare(ours, theirs)
    assert (found.equal_answers, found.equal_prompts, found.different) == (1, 1, ("law/0",))


def test_a_margin_that_rounding_may_overturn_is_a_near_tie_on_either_side() -> None:
    ours = {"a/0": answer(-1.0, -1.00001), "a/1": answer(-1.0, -1.1), "a/2": answer(-1.0, -2.0)}
    theirs = {"a/0": answer(-1.0, -1.1), "a/1": answer(-1.0, -1.00001), "a/2": answer(-1.0, -2.0)}
    assert compare(ours, theirs).near_ties == 2


def test_the_first_of_equal_choices_is_the_answer() -> None:
    assert answer(-2.0, -1.0, -1.0).choice == 1


def test_questions_of_one_side_only_are_refused() -> None:
    with pytest.raises(ValueError, match="2 questions were asked on one side only, the first is a/0"):
        compare({"a/0": answer(-1.0, -2.0)}, {"a/1": answer(-1.0, -2.0)})


def test_different_numbers_of_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="a/0: 2 and 3 choices"):
        compare({"a/0": answer(-1.0, -2.0)}, {"a/0": answer(-1.0, -2.0, -3.0)})


def test_nothing_is_not_agreement() -> None:
    with pytest.raises(ValueError, match="no questions"):
        compare({}, {})


def journal_line(error: str | None = None) -> str:
    score = Score("law/0", "law", "humanities", "A", error=error)
    sample = Sample(score, Completion("law/0", choice_logprobs=(-1.0, -2.0)), "00")
    return json.dumps({"sample": to_plain(sample)}, separators=(",", ":")) + "\n"


def test_both_kinds_of_files_give_the_same_answers(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text(journal_line())
    theirs.write_text(json.dumps({"id": "law/0", "logprobs": [-1.0, -2.0], "prompt_sha256": "00"}) + "\n")
    assert read_modeltest(ours) == read_lm_eval(theirs) == {"law/0": Answer((-1.0, -2.0), "00")}


def test_a_failed_question_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(journal_line(error="too long"))
    with pytest.raises(ValueError, match="ModelTest failed at law/0: too long"):
        read_modeltest(path)
