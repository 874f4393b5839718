import json

from modeltest.api import ChatPrompt, Finding, Request, RunSpec, TaskOptions, TextPrompt, TokenPrompt, Turn
from modeltest.data.load import load_dataset
from modeltest.findings import sentences
from modeltest.run.worker.leakage import leaks
from modeltest.tasks.boolq import BoolQ


def text(name, question, *shots):
    return Request(name, TextPrompt("header\n", shots, question))


def test_a12_a_question_that_is_among_its_shots_is_told_with_its_id():
    found = list(leaks([text("s/0", "2 + 2?", "1 + 1? 2\n\n"), text("s/1", "1 + 1?", "1 + 1? 2\n\n")]))
    assert found == [Finding("questions_among_shots", {"count": 1, "questions": ("s/1",)})]
    assert sentences(found) == (
        "1 question is among the worked examples before it, which give the answer away: s/1",
    )


def test_a12_questions_that_are_asked_twice_are_counted_and_the_first_named():
    found = list(leaks(text(f"s/{number}", f"{number % 3}?") for number in range(12)))
    assert found == [
        Finding("repeated_questions", {"count": 9, "questions": ("s/3", "s/4", "s/5", "s/6", "s/7")})
    ]
    assert sentences(found) == (
        "9 questions are those of others again, word for word: s/3, s/4, s/5, s/6, s/7 and 4 more",
    )


def test_a12_conversations_are_looked_through_too_and_token_ids_cannot_be():
    asked, said = Turn("user", "1 + 1?"), Turn("assistant", "2")
    chat = Request("s/0", ChatPrompt((), ((asked, said),), (asked,)))
    assert [each.code for each in leaks([chat])] == ["questions_among_shots"]
    assert list(leaks([Request("s/0", TokenPrompt((1,))), Request("s/1", TokenPrompt((1,)))])) == []


def test_other_questions_are_not_told():
    assert list(leaks([text("s/0", "1?", "2? 2"), text("s/1", "2?", "3? 3")])) == []


def test_a12_a_row_of_the_users_data_that_is_among_its_shots_is_found(tmp_path):
    rows = [
        {"question": f"is it {n}", "title": "T", "answer": True, "passage": "It is."} for n in (0, 1, 2, 0)
    ]
    (tmp_path / "boolq").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "boolq" / "dev.jsonl").write_text(lines, encoding="utf-8")
    data = load_dataset("boolq", "full", data_dir=str(tmp_path)).data
    spec = RunSpec("fake", "full_BoolQ", "boolq", "gpt2", "W", options=TaskOptions(shots=1))
    assert {each.code: each.values["questions"] for each in leaks(BoolQ().requests(data, spec))} == {
        "questions_among_shots": ("boolq/3",),
        "repeated_questions": ("boolq/3",),
    }
