"""C-Eval: English with shots, Chinese without, and the hard group."""

import json

import pytest
from prompt_checks import assert_golden, assert_known_digest, letter_rows, real_data

from modeltest.api import (
    AccuracyTask,
    Argument,
    Completion,
    DatasetError,
    Finish,
    Record,
    RunSpec,
    Sample,
    Score,
    TaskData,
    Turn,
)
from modeltest.tasks.ceval import CEval

PROTOCOLS = ("modeltest", "lm-eval")
CARD = {
    "college_physics": {
        "english": "College Physics",
        "chinese": "大学物理",
        "category": "STEM",
        "hard": "true",
    },
    "logic": {"english": "Logic", "chinese": "逻辑学", "category": "Humanities"},
}
OPTIONS = "A. one\nB. two\nC. three\nD. four\n"


def data_of(*records: Record, shots: tuple[Record, ...] = (), card=CARD) -> TaskData:
    return TaskData(records, {"logic": shots}, card)


def first_request(data: TaskData, spec: RunSpec):
    return next(iter(CEval().requests(data, spec)))


@pytest.fixture
def data(letter_record) -> TaskData:
    example = letter_record(" 甲？", "C", number=9, subject="logic")
    return data_of(letter_record("乙？ ", subject="logic"), shots=(example,))


def test_is_an_accuracy_task_with_shots_and_batch_words():
    task = CEval()
    assert isinstance(task, AccuracyTask)
    assert {mode.word: mode.split for mode in task.modes} == {"full_CEval": "full", "sample_CEval": "sample"}
    assert {mode.arguments for mode in task.modes} == {(Argument.SHOTS, Argument.BATCH)}


def test_few_shot_prompt_is_the_english_one_of_mmlu_with_the_english_key(make_spec, data):
    assert first_request(data, make_spec(shots=1)).prompt.text == (
        "The following are multiple choice questions (with answers) about  logic.\n\n"
        f" 甲？\n{OPTIONS}Answer: C\n\n"
        f"乙？ \n{OPTIONS}Answer:"
    )


def test_zero_shot_prompt_is_chinese(make_spec, data):
    assert first_request(data, make_spec()).prompt.text == (
        "\n以下是中国关于逻辑学考试的单项选择题，请选出其中的正确答案。\n"
        f"乙？ \n{OPTIONS}让我们一步一步思考。答案: "
    )


def test_lm_eval_prompt_is_chinese_with_and_without_shots(make_spec, data):
    header = "以下是中国关于逻辑学的单项选择题，请选出其中的正确答案。\n\n"
    asked = f"乙？\n{OPTIONS}答案："
    assert first_request(data, make_spec("lm-eval", 0)).prompt.text == header + asked
    shown = f"甲？\n{OPTIONS}答案： C\n\n"
    assert first_request(data, make_spec("lm-eval", 1)).prompt.text == header + shown + asked


def test_lm_eval_chat_has_the_header_as_system_message(make_spec, data):
    assert first_request(data, make_spec("lm-eval", 1, chat=True)).prompt.turns == (
        Turn("system", "以下是中国关于逻辑学的单项选择题，请选出其中的正确答案。\n\n"),
        Turn("user", f"甲？\n{OPTIONS}答案："),
        Turn("assistant", "C"),
        Turn("user", f"乙？\n{OPTIONS}答案："),
    )


def test_choices_are_four_letters_after_a_space(make_spec, data):
    assert first_request(data, make_spec("lm-eval")).choices == (" A", " B", " C", " D")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subject_without_a_chinese_name_is_a_defect_of_the_card(make_spec, letter_record, protocol):
    data = data_of(letter_record("乙？", subject="logic"), card={"logic": {"category": "Humanities"}})
    with pytest.raises(DatasetError, match="card of ceval has no 'chinese' for subject 'logic'"):
        list(CEval().requests(data, make_spec(protocol)))


def test_few_shot_prompt_needs_no_chinese_name(make_spec, letter_record):
    shots = (letter_record("甲？", number=9, subject="logic"),)
    data = data_of(letter_record("乙？", subject="logic"), shots=shots, card={})
    assert first_request(data, make_spec(shots=1)).prompt.header.endswith("about  logic.\n\n")


def test_zero_shot_answer_is_extracted_from_chinese(make_spec, letter_record):
    record = letter_record("乙？", "B", subject="logic")
    completion = Completion(record.id, text="答案是选项B，因为A错误。", finish=Finish.STOP)
    score = CEval().score(record, data_of(record), completion, make_spec())
    assert (score.predicted, score.correct, score.category) == ("B", True, "Humanities")


def test_hard_group_holds_the_subjects_marked_hard():
    def sample(subject: str, number: int, correct: bool | None) -> Sample:
        score = Score(f"{subject}/{number}", subject, CARD[subject]["category"], "A", correct=correct)
        return Sample(score, Completion(score.request_id), "0" * 64)

    samples = [
        sample("college_physics", 0, True),
        sample("college_physics", 1, None),
        sample("logic", 0, False),
    ]
    summary = CEval().summarize(samples, CARD)
    hard = summary.groups["C-Eval Hard"]
    assert (hard.correct, hard.total, hard.accuracy) == (1, 2, 0.5)
    assert (summary.micro.correct, summary.micro.total, summary.failed) == (1, 3, 1)
    assert summary.macro == 0.25


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompt_of_the_first_bundled_row_is_golden(make_spec, protocol, shots, chat):
    assert_golden(CEval(), make_spec(protocol, shots, chat=chat))


def expected_text(
    spec: RunSpec, subject: str, chinese: str, row: dict[str, str], examples: list[dict[str, str]]
) -> str:
    options = "A. {A}\nB. {B}\nC. {C}\nD. {D}\n"
    if spec.protocol == "lm-eval":
        body, header = options + "答案：", f"以下是中国关于{chinese}的单项选择题，请选出其中的正确答案。\n\n"
        shots = "".join(f"{r['question'].strip()}\n{body.format(**r)} {r['answer']}\n\n" for r in examples)
        return f"{header}{shots}{row['question'].strip()}\n{body.format(**row)}"
    if not examples:
        header = f"\n以下是中国关于{chinese}考试的单项选择题，请选出其中的正确答案。\n"
        return f"{header}{row['question']}\n{options.format(**row)}让我们一步一步思考。答案: "
    header = "The following are multiple choice questions (with answers) about  " + subject.replace("_", " ")
    shots = "".join(f"{r['question']}\n{options.format(**r)}Answer: {r['answer']}\n\n" for r in examples)
    return f"{header}.\n\n{shots}{row['question']}\n{options.format(**row)}Answer:"


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompts_of_all_real_rows_follow_the_template(make_spec, shared_data, protocol, shots):
    spec = make_spec(protocol, shots)
    folder = shared_data / "ceval"
    names = json.loads((folder / "subject_mapping.json").read_text(encoding="utf-8"))
    texts = {
        request.id: request.prompt.text for request in CEval().requests(real_data("ceval", shared_data), spec)
    }
    for subject, (_english, chinese, _category) in names.items():
        examples = letter_rows(folder / "dev" / f"{subject}_dev.csv")[:shots]
        for number, row in enumerate(letter_rows(folder / "val" / f"{subject}_val.csv")):
            assert texts.pop(f"{subject}/{number}") == expected_text(spec, subject, chinese, row, examples)
    assert texts == {}


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_first_real_prompt_is_the_one_on_record(make_spec, shared_data, protocol, shots):
    spec = make_spec(protocol, shots)
    assert_known_digest(CEval(), spec, first_request(real_data("ceval", shared_data), spec).prompt.text)
