import pytest
from lm_eval_comparison.shapes import SHAPES
from lm_eval_comparison.works import GOALS, WORKS, Job, choose_jobs

from modeltest.data.card import load_card


def chosen(*works: str, models: tuple[str, ...] = (), **options: object) -> list[Job]:
    return choose_jobs(works, models, **{"limit": None, "rounds": None, "quick": False, **options})


def test_without_names_the_jobs_are_those_with_goals_small_models_first() -> None:
    jobs = chosen()
    assert [job.name for job in jobs] == ["mmlu-15M", "ceval-15M", "boolq-15M", "mmlu-135M", "boolq-135M"]
    assert all(job.goal == GOALS[job.work.name, job.model, "fp32"] for job in jobs)
    assert [(job.questions, job.rounds) for job in jobs] == [(100, 3), (20, 3), (400, 3), (25, 2), (200, 2)]


def test_fewer_questions_than_the_goal_was_set_for_have_no_goal() -> None:
    (job,) = chosen("mmlu", models=("135M",), limit=24)
    assert (job.questions, job.goal) == (24, None)
    (job,) = chosen("mmlu", models=("135M",), limit=25)
    assert (job.questions, job.goal) == (25, GOALS["mmlu", "135M", "fp32"])


def test_a_quick_look_is_one_round_unless_more_are_asked_for() -> None:
    assert {(job.questions, job.rounds) for job in chosen(quick=True)} == {(5, 1)}
    assert {job.rounds for job in chosen(quick=True, rounds=4)} == {4}


def test_a_named_model_does_works_it_has_no_number_for() -> None:
    assert [job.questions for job in chosen("ceval", models=("135M", "2M"))] == [20, 20]


def test_the_trained_model_is_asked_in_the_dtypes_that_have_goals() -> None:
    jobs = chosen(models=("smollm2",))
    assert [job.name for job in jobs] == [
        *("mmlu-smollm2", "mmlu-smollm2-bf16", "ceval-smollm2-bf16", "boolq-smollm2-bf16"),
        *("gsm8k-smollm2", "gsm8k-smollm2-bf16", "gsm8k-drawn-smollm2", "gsm8k-drawn-smollm2-bf16"),
    ]
    assert [(job.questions, job.rounds) for job in jobs] == [(n, 3) for n in (25, 25, 20, 200, *[64] * 4)]
    assert [job.work.name for job in jobs if not job.goal] == ["gsm8k-drawn"] * 2
    assert [job.dtype for job in chosen("ceval", models=("smollm2",), dtypes=("fp32",))] == ["fp32"]


def test_texts_are_asked_of_random_weights_only_by_name() -> None:
    assert [job.work.name for job in chosen(models=("2M",))] == ["mmlu", "ceval", "boolq"]
    assert [job.questions for job in chosen("gsm8k", models=("2M",))] == [64]


def test_answers_must_be_equal_in_float32_and_shifts_are_held_against_lm_evals_in_16_bits() -> None:
    jobs = chosen("mmlu", "gsm8k", models=("smollm2",))
    assert [(job.is_exact, job.compares_shifts) for job in jobs] == [
        (True, False),
        (False, True),
        (True, False),
        (False, False),
    ]


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_subjects_are_those_of_the_dataset(work) -> None:
    assert set(work.subjects) <= set(load_card(work.task).subjects)


def test_the_models_are_as_large_as_they_are_called() -> None:
    # By hand for 15M: 8 x (2 x 256 x 256 + 2 x 128 x 256 + 3 x 256 x 768 + 2 x 256) + 256.
    assert SHAPES["15M"].non_embedding_parameters == 6_295_808
    assert SHAPES["15M"].parameters == 6_295_808 + 32_000 * 256
    for name, shape in SHAPES.items():
        assert abs(shape.parameters / 1e6 / float(name.removesuffix("M")) - 1) < 0.1


def test_a_fingerprint_follows_the_shape_and_the_data() -> None:
    small, large = SHAPES["15M"], SHAPES["135M"]
    assert small.fingerprint("data") == small.fingerprint("data")
    assert len({small.fingerprint("data"), small.fingerprint("other"), large.fingerprint("data")}) == 3
