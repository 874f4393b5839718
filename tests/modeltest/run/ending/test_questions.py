import json
from dataclasses import replace

from modeltest.api import DatasetInfo, RunSpec, TextPrompt
from modeltest.data.load import load_dataset
from modeltest.run.ending.questions import Questions
from modeltest.run.record.identity import prompt_digest

SPEC = RunSpec("fake", "full_BoolQ", "boolq", "gpt2", "W", split="full", batch_sizes=((1,),))
ROWS = [{"question": f"is it {n}", "title": "T", "answer": True, "passage": "It is."} for n in range(3)]


def boolq_in(tmp_path) -> DatasetInfo:
    (tmp_path / "boolq").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "boolq" / "dev.jsonl").write_text(lines, encoding="utf-8")
    return load_dataset("boolq", "full", data_dir=str(tmp_path)).info


def test_the_questions_are_those_of_the_run_with_the_digests_of_the_journal(tmp_path):
    dataset = boolq_in(tmp_path)
    questions = Questions(replace(SPEC, limit=2), dataset)
    assert [question.request.id for question in questions] == ["boolq/0", "boolq/1"]
    first = next(iter(questions))
    assert isinstance(first.request.prompt, TextPrompt)
    assert first.request.prompt.text.endswith("Question: is it 0?\nAnswer:")
    assert first.prompt_sha256 == prompt_digest(first.request.prompt)
    assert first.request.choices == (" yes", " no")


def test_the_folder_of_the_run_counts_and_not_that_of_today(tmp_path, monkeypatch):
    dataset = boolq_in(tmp_path)
    monkeypatch.setenv("MODELTEST_DATA_DIR", "/nowhere")
    assert len(list(Questions(SPEC, dataset))) == 3


def test_there_are_none_where_the_dataset_is_gone(tmp_path):
    dataset = boolq_in(tmp_path)
    (tmp_path / "boolq" / "dev.jsonl").unlink()
    assert list(Questions(SPEC, dataset)) == []


def test_bundled_samples_are_found_wherever_they_are():
    dataset = replace(load_dataset("boolq", "sample", data_dir=None).info, path="/an/older/place/boolq")
    assert len(list(Questions(replace(SPEC, split="sample"), dataset))) == dataset.records
