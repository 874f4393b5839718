from dataclasses import replace

import pytest
from made_packs import letters, spec_of
from made_runs import ENGINE, MODEL, run_result

from modeltest.api import (
    Completion,
    DatasetInfo,
    PackAnswer,
    Role,
    Sample,
    Score,
    SpecError,
)
from modeltest.packs.drafting import (
    AskedRun,
    computation_of,
    drafted,
    pack_model,
    refuse_other_models,
    tokenizer_digest,
)

DATASET = DatasetInfo("mmlu", "full", "/d/mmlu", "a" * 64, True, 2, 1)
QUESTIONS = [letters(number) for number in range(3)]


def sample(question, **fields):
    name = question.record.id
    values = {
        "prompt_tokens": question.prompt,
        "choice_tokens": question.choices,
        "choice_logprobs": (-1.0, -2.0, -3.0, -4.0),
    }
    score = Score(name, "anatomy", "other", "A", "A", True, 1.0, error=fields.get("error"))
    return Sample(score, Completion(name, **{**values, **fields}), f"digest {name}")


def asked(samples=None, *, task="mmlu", **fields):
    """Return a run of the three questions, which the dataset has in their order."""
    from modeltest.api import Request, TextPrompt

    values = {"dataset": DATASET, "samples": [sample(one) for one in QUESTIONS], "protocol_version": "1"}
    if samples is not None:
        values["samples"] = samples
    result = run_result(spec_of(task), **{**values, **fields})
    of_dataset = {
        one.record.id: (
            one.record,
            Request(one.record.id, TextPrompt("", (), "q"), choices=(" A", " B", " C", " D")),
            f"digest {one.record.id}",
        )
        for one in QUESTIONS
    }
    return AskedRun("/runs/x", result, of_dataset, {"anatomy": {"category": "other"}})


def test_questions_are_as_the_model_read_them_in_the_order_of_the_dataset():
    found = drafted(asked([sample(one) for one in reversed(QUESTIONS)]))
    assert found.questions == tuple(QUESTIONS)
    assert found.answers[0] == PackAnswer("mmlu/anatomy/0", (-1.0, -2.0, -3.0, -4.0), "A", True, 1.0)
    assert (found.task.task, found.task.questions, found.task.left_out) == ("mmlu", 3, 0)
    assert found.task.protocol_version == "1"


def test_generation_is_as_the_task_asks_it():
    run = asked([sample(QUESTIONS[0], choice_tokens=(), choice_logprobs=())])
    record, request, digest = run.asked["anatomy/0"]
    request = replace(request, choices=(), max_new_tokens=20, stop=("Q:",), first_character_only=True)
    found = drafted(replace(run, asked={"anatomy/0": (record, request, digest)}))
    (question,) = found.questions
    assert (question.choices, question.max_new_tokens, question.stop) == ((), 20, ("Q:",))
    assert question.first_character_only
    assert found.answers[0].logprobs == ()


def test_a_choice_that_merges_with_its_prompt_is_left_out_and_told():
    merged = sample(QUESTIONS[1], replaced_tokens=(0, 1, 0, 0))
    found = drafted(asked([sample(QUESTIONS[0]), merged, sample(QUESTIONS[2])]))
    assert [question.id for question in found.questions] == ["mmlu/anatomy/0", "mmlu/anatomy/2"]
    assert found.task.left_out == 1
    with pytest.raises(SpecError, match="merge with the end of its prompt"):
        drafted(asked([sample(one, replaced_tokens=(1, 1, 1, 1)) for one in QUESTIONS]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"error": "too long"}, r"question 'anatomy/1' failed \(too long\)"),
        ({"prompt_tokens": ()}, "does not tell the token ids"),
        ({"choice_tokens": ()}, "does not tell the token ids"),
    ],
)
def test_answers_that_no_pack_can_hold_are_refused(change, reason):
    with pytest.raises(SpecError, match=reason):
        drafted(asked([sample(QUESTIONS[0]), sample(QUESTIONS[1], **change), sample(QUESTIONS[2])]))


def test_a_run_that_lacks_answers_or_asked_other_prompts_is_refused():
    with pytest.raises(SpecError, match="no answer to 'anatomy/2' and 0 more"):
        drafted(asked([sample(one) for one in QUESTIONS[:2]]))
    other = replace(sample(QUESTIONS[0]), prompt_sha256="other")
    with pytest.raises(SpecError, match="'anatomy/0' is not what the dataset asks now"):
        drafted(asked([other]))
    with pytest.raises(SpecError, match="has no questions"):
        drafted(asked(dataset=None))


def test_runs_of_one_reference_agree_in_all_that_decides_answers():
    run = asked()
    refuse_other_models([run])
    refuse_other_models([run, asked(task="boolq")])
    with pytest.raises(SpecError, match="both ask 'mmlu'"):
        refuse_other_models([run, run])
    for other in (
        asked(task="boolq", engine=replace(ENGINE, dtype="bfloat16")),
        asked(task="boolq", engine=replace(ENGINE, versions={"torch": "1"})),
        asked(task="boolq", model=replace(MODEL, fingerprint="0" * 64)),
    ):
        with pytest.raises(SpecError, match="no run of the same reference"):
            refuse_other_models([run, other])


def test_a_computation_says_how_it_was_done():
    run = run_result(replace(spec_of("mmlu"), engine_options={"a": "b"}), engine=ENGINE)
    found = computation_of("t", Role.TWIN, run, threads="2")
    assert (found.name, found.engine, found.dtype, found.batch_size) == ("t", "hf", "float32", 8)
    assert found.options == {"a": "b", "threads": "2"}
    assert computation_of("d", Role.DIRECTION, run, fault="rope:1.05").fault == "rope:1.05"
    with pytest.raises(SpecError, match="has no engine"):
        computation_of("t", Role.TWIN, replace(run, engine=None))


def test_a_tokenizer_is_known_by_its_files_and_not_by_those_of_the_weights():
    files = {"tokenizer.json": "1", "config.json": "2", "chat_template.jinja": "3"}
    digest = tokenizer_digest(files)
    assert digest == tokenizer_digest({**files, "config.json": "9", "model.safetensors": "8"})
    assert digest != tokenizer_digest({**files, "tokenizer.json": "9"})
    assert digest != tokenizer_digest({**files, "chat_template.jinja": "9"})
    assert tokenizer_digest({"config.json": "2", "generation_config.json": "1"}) is None
    assert pack_model(replace(MODEL, files=files)).tokenizer_sha256 == digest
