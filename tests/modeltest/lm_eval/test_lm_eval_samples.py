"""Samples files as lm-evaluation-harness writes them, to answers that are compared in pairs."""

import json
import math

import pytest

from modeltest import registry
from modeltest.api import KeepingAnswers, ModelTestError, SpecError
from modeltest.lm_eval.results import RESULTS_FILE
from modeltest.lm_eval.samples import read_answers

TIME = "2026-01-01T00-00-00.000001"


def line(number, responses, **values):
    digests = {"doc_hash": f"d{number}", "prompt_hash": f"p{number}", "target_hash": f"t{number}"}
    metrics = [name for name in values if name not in ("filter", "target")]
    return {
        "doc_id": number,
        "target": "1",
        "filter": "none",
        "filtered_resps": responses,
        "metrics": metrics,
        **digests,
        **values,
    }


def likelihoods(*values):
    return [[str(value), "False"] for value in values]


def write(directory, higher_is_better=None, **tasks):
    directory.mkdir(exist_ok=True)
    for name, lines in tasks.items():
        text = "".join(json.dumps(each) + "\n" for each in lines)
        (directory / f"samples_{name}_{TIME}.jsonl").write_text(text, encoding="utf-8")
    results = {
        "results": {name: {f"{lines[0]['metrics'][0]},none": 0.5} for name, lines in tasks.items()},
        "higher_is_better": higher_is_better or {},
    }
    (directory / RESULTS_FILE).write_text(json.dumps(results), encoding="utf-8")
    return directory


def test_the_choice_that_is_likeliest_is_the_answer_and_acc_says_whether_it_is_right(tmp_path):
    rows = [
        line(0, likelihoods(-3.0, -1.5), acc=1.0, acc_norm=0.0),
        line(7, likelihoods(-1.0, -1.5), acc=0.0, acc_norm=0.0),
    ]
    found = read_answers(write(tmp_path / "run", tiny_choice=rows))
    scores = [each.score for each in found.samples]
    assert [(score.request_id, score.subject) for score in scores] == [
        ("tiny_choice/0", "tiny_choice"),
        ("tiny_choice/7", "tiny_choice"),
    ]
    assert [(score.predicted, score.expected, score.correct) for score in scores] == [
        ("1", "1", True),
        ("0", "1", False),
    ]
    assert [score.margin for score in scores] == [None, None], "sums over tokens are no margins"
    assert len({each.prompt_sha256 for each in found.samples}) == 2
    assert found.notes == ("task tiny_choice: right and wrong by its metric acc, filter none",)


def test_likelihoods_without_the_context_are_no_choices(tmp_path):
    rows = [line(0, likelihoods(-3.0, -1.5, -0.1, -9.0), acc=1.0, acc_mutual_info=0.0)]
    (found,) = read_answers(write(tmp_path / "run", t=rows)).samples
    assert found.score.predicted == "1"


def test_of_a_text_the_first_filter_counts(tmp_path):
    rows = [
        line(0, ["42"], filter="strict-match", exact_match=1.0),
        line(0, ["42 is"], filter="flexible-extract", exact_match=0.0),
    ]
    (found,) = read_answers(write(tmp_path / "run", gsm8k=rows)).samples
    assert (found.score.predicted, found.score.correct) == ("42", True)


def test_where_the_judged_choice_is_not_known_only_right_and_wrong_are(tmp_path):
    rows = [line(0, likelihoods(-3.0, -1.5), acc_norm=0.0), line(1, likelihoods(-0.1), acc_norm=True)]
    found = read_answers(write(tmp_path / "run", t=rows)).samples
    assert [each.score.predicted for each in found] == ["wrong", "right"]


def test_a_task_that_judges_no_question_is_left_out_and_told(tmp_path):
    found = read_answers(
        write(
            tmp_path / "run",
            {"toxic": {"toxicity": False}},
            wiki=[line(0, [["-30.0"]], word_perplexity=[-30.0, 7])],
            toxic=[line(0, ["text"], toxicity=1.0)],
            partly=[line(0, ["a"], f1=0.0), line(1, ["a"], f1=0.5)],
        )
    )
    assert found.samples == ()
    assert [note.split()[1] for note in found.notes] == ["partly", "toxic", "wiki"]
    assert all("is left out" in note for note in found.notes)


def test_another_prompt_has_another_digest(tmp_path):
    one = read_answers(write(tmp_path / "one", t=[line(0, ["a"], acc=1.0)]))
    other = read_answers(write(tmp_path / "other", t=[{**line(0, ["a"], acc=1.0), "prompt_hash": "x"}]))
    assert one.samples[0].prompt_sha256 != other.samples[0].prompt_sha256


def test_a_run_without_samples_is_told_how_to_keep_them(tmp_path):
    with pytest.raises(SpecError, match="run it again with --log-samples, the reference too"):
        read_answers(write(tmp_path / "run"))


@pytest.mark.parametrize("text", ["", "{}\n", "[1]\n", "{", '{"filter": "none", "metrics": ["acc"]}\n'])
def test_a_file_that_is_no_samples_file_is_named(tmp_path, text):
    path = write(tmp_path / "run") / f"samples_t_{TIME}.jsonl"
    path.write_text(text)
    with pytest.raises(ModelTestError, match=rf"samples_t_{TIME}\.jsonl is no samples file of lm-eval"):
        read_answers(path.parent)


def test_the_task_offers_them():
    assert isinstance(registry.load_task("lm_eval"), KeepingAnswers)


def test_half_a_character_that_no_report_could_hold_is_refused(tmp_path):
    write(tmp_path, arc=[line(0, likelihoods(-3.0, -1.5), acc=1.0, target="\ud800")])
    with pytest.raises(ModelTestError, match=r"arc_.*\.jsonl is no samples file of lm-eval"):
        read_answers(tmp_path)


@pytest.mark.parametrize("value", ["nan", math.nan, True, 10**400, "x", None])
def test_a_likelihood_that_is_no_number_is_refused(tmp_path, value):
    rows = [line(0, [[value, "False"], [-1.5, "False"]], acc=1.0)]
    write(tmp_path, arc=rows)
    with pytest.raises(ModelTestError, match="is no samples file of lm-eval"):
        read_answers(tmp_path)
