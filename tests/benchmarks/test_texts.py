import json
from pathlib import Path

import pytest
from lm_eval_comparison.texts import Text, compare_texts, read_lm_eval_texts, read_modeltest_texts


def test_texts_are_matched_by_id_and_where_they_part_is_counted_in_characters() -> None:
    ours = {"a/0": Text("It is 12.", "p"), "a/1": Text("Six", "p"), "a/2": Text("", "p")}
    theirs = {"a/2": Text("Two", "q"), "a/1": Text("Six", "p"), "a/0": Text("It is 11", "p")}
    found = compare_texts(ours, theirs)
    assert (found.questions, found.equal_prompts, found.equal_answers) == (3, 2, 1)
    assert found.different == {"a/0": 7, "a/2": 0}
    assert found.mean_characters == pytest.approx(14 / 3)
    assert found.distinct_answers == 3


def test_a_text_that_ends_earlier_parts_at_its_end() -> None:
    found = compare_texts({"a/0": Text("ab", "p")}, {"a/0": Text("abc", "p")})
    assert found.different == {"a/0": 2}


def test_questions_of_one_side_and_none_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="2 questions were asked on one side only, the first is a/0"):
        compare_texts({"a/0": Text("", "")}, {"a/1": Text("", "")})
    with pytest.raises(ValueError, match="no questions"):
        compare_texts({}, {})


def test_both_kinds_of_files_give_the_same_texts(tmp_path: Path) -> None:
    theirs = tmp_path / "samples.jsonl"
    theirs.write_text(json.dumps({"id": "gsm8k/0", "prompt": "Q", "text": "one"}) + "\n")
    sample = {
        "doc": {"modeltest_id": "gsm8k/0"},
        "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {"until": []}}},
        "resps": [["one"]],
    }
    lines = [json.dumps({**sample, "filter": name}) + "\n" for name in ("strict", "flexible")]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "samples_task_2026.jsonl").write_text("".join(lines))
    assert (
        read_lm_eval_texts(theirs) == read_modeltest_texts(tmp_path / "run") == {"gsm8k/0": Text("one", "Q")}
    )
