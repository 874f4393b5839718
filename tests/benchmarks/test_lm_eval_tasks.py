import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from lm_eval_comparison import lm_eval_tasks
from lm_eval_comparison.lm_eval_side import Stopwatch, plain_samples
from lm_eval_comparison.lm_eval_tasks import write_tasks
from lm_eval_comparison.works import Work

from modeltest.api import Record, TaskData

LETTERED = {"question": "q", "A": "a", "B": "None", "C": "c", "D": "d", "answer": "C"}


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for lm-eval's own task files."""
    folder = tmp_path / "lm_eval_tasks"
    for name in (
        "mmlu/default/mmlu_law.yaml",
        "ceval/ceval-valid_law.yaml",
        "super_glue/boolq/default.yaml",
        "gsm8k/gsm8k.yaml",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.setattr(lm_eval_tasks, "_lm_eval_tasks", lambda: folder)
    return folder


def work(task: str, subject: str, shots: int = 0) -> Work:
    return Work(task, task, task=task, shots=shots, subjects=(subject,), questions={"15M": 1})


def rows(path: str | Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_a_task_includes_lm_evals_own_and_replaces_only_the_data(templates: Path, tmp_path: Path) -> None:
    data = TaskData(
        [Record("law/0", "law", LETTERED), Record("logic/0", "logic", LETTERED)],
        {"law": (Record("law/0", "law", {**LETTERED, "question": "shot"}),)},
        {"law": {}},
    )
    assert write_tasks(work("mmlu", "law", shots=1), data, tmp_path / "out") == ["modeltest_mmlu_law"]
    task = json.loads((tmp_path / "out/modeltest_mmlu_law.yaml").read_text())
    assert task["include"] == str(templates / "mmlu/default/mmlu_law.yaml")
    assert (task["dataset_path"], task["dataset_name"], task["num_fewshot"]) == ("json", None, 1)
    assert not {"doc_to_text", "doc_to_choice", "description"} & task.keys()
    files = task["dataset_kwargs"]["data_files"]
    assert rows(files["test"]) == [
        {"modeltest_id": "law/0", "question": "q", "choices": ["a", "None", "c", "d"], "answer": 2}
    ]
    assert [row["question"] for row in rows(files["dev"])] == ["shot"]


def test_ceval_rows_keep_their_columns(templates: Path, tmp_path: Path) -> None:
    write_tasks(
        work("ceval", "law"),
        TaskData([Record("law/0", "law", {**LETTERED, "question": "问"})], {}, {}),
        tmp_path,
    )
    assert rows(tmp_path / "modeltest_ceval_law.jsonl") == [
        {"modeltest_id": "law/0", **LETTERED, "question": "问"}
    ]


@pytest.mark.parametrize(
    ("title", "passage"), [("T", "T -- It is."), ("", "It is.")], ids=["title", "SuperGLUE copy"]
)
def test_a_boolq_passage_begins_with_its_title(
    templates: Path, tmp_path: Path, title: str, passage: str
) -> None:
    fields = {"question": "is it", "title": title, "passage": "It is.", "answer": "yes"}
    write_tasks(work("boolq", "boolq"), TaskData([Record("boolq/0", "boolq", fields)], {}, {}), tmp_path)
    assert rows(tmp_path / "modeltest_boolq_boolq.jsonl") == [
        {"modeltest_id": "boolq/0", "passage": passage, "question": "is it", "label": 1}
    ]


@pytest.mark.parametrize("sampler", [None, "first_n"])
def test_shots_of_gsm8k_come_from_train_and_are_drawn_unless_the_work_says_how(
    templates: Path, tmp_path: Path, sampler: str | None
) -> None:
    row = Record("gsm8k/0", "gsm8k", {"question": "q", "answer": "#### 1"})
    drawn = replace(work("gsm8k", "gsm8k", shots=5), sampler=sampler)
    write_tasks(drawn, TaskData([row], {"gsm8k": (row, row)}, {}), tmp_path)
    task = json.loads((tmp_path / "modeltest_gsm8k_gsm8k.yaml").read_text())
    assert task.get("fewshot_config") == (sampler and {"sampler": sampler})
    assert not {"generation_kwargs", "doc_to_text"} & task.keys()
    files = task["dataset_kwargs"]["data_files"]
    assert rows(files["test"]) == [{"modeltest_id": "gsm8k/0", "question": "q", "answer": "#### 1"}]
    assert len(rows(files["train"])) == 2


def test_a_subject_lm_eval_does_not_have_is_refused(templates: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mmlu_alchemy\.yaml; is it the release"):
        write_tasks(work("mmlu", "alchemy"), TaskData([], {}, {}), tmp_path)


def test_a_sample_of_lm_eval_gives_its_prompt_and_log_probabilities() -> None:
    sample = {
        "doc": {"modeltest_id": "law/0"},
        "arguments": [("Q", " A"), ("Q", " B")],
        "filtered_resps": [(-1.5, False), (-0.5, True)],
    }
    (plain,) = plain_samples({"task": [sample]})
    assert plain["id"] == "law/0"
    assert plain["prompt"] == "Q"
    assert plain["prompt_sha256"] == "4ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260"
    assert (plain["choices"], plain["logprobs"]) == ([" A", " B"], [-1.5, -0.5])


def test_a_generated_text_is_taken_once_however_its_answer_is_found() -> None:
    sample = {
        "doc": {"modeltest_id": "gsm8k/0"},
        "arguments": [("Q", {"until": ["</s>"]})],
        "resps": [["It is 1."]],
    }
    (plain,) = plain_samples({"task": [{**sample, "filter": "strict"}, {**sample, "filter": "flexible"}]})
    assert (plain["id"], plain["prompt"], plain["text"]) == ("gsm8k/0", "Q", "It is 1.")


def test_a_stopwatch_passes_everything_on_and_keeps_the_time() -> None:
    stopwatch = Stopwatch(lambda value, *, more: value + more)
    assert stopwatch(1, more=2) == 3
    assert 0 < stopwatch.seconds < time.perf_counter() - stopwatch.begun
