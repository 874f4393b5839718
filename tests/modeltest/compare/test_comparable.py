from dataclasses import replace

import pytest
from made_answers import answers, sample
from made_runs import (
    DATASET,
    ENGINE,
    accuracy_result,
    performance_result,
    precision_result,
    run_result,
    with_spec,
)

from modeltest.api import (
    Case,
    Completion,
    Decision,
    GateOutcome,
    HarnessMetric,
    HarnessSummary,
    MaxBatchCase,
    MaxBatchSummary,
    Measurement,
    SearchStatus,
    SpecError,
    TaskOptions,
    Verdict,
)
from modeltest.compare.comparable import (
    ALLOWABLE,
    NotComparableError,
    answer_differences,
    faults,
    run_differences,
    tokenization_note,
)
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances
from modeltest.findings import sentence
from modeltest.tasks.inputs import request_id
from modeltest.tasks.output_logprobs import LOGPROBS


def compare(reference, candidate, *allow):
    return compare_runs(
        [RunToCompare("A", reference)], [RunToCompare("B", candidate)], tolerances=Tolerances(), allow=allow
    )


ACCURACY = accuracy_result()


@pytest.mark.parametrize(
    ("candidate", "category"),
    [
        (replace(ACCURACY, dataset=replace(DATASET, sha256="b" * 64)), "dataset"),
        (replace(ACCURACY, dataset=replace(DATASET, split="sample")), "dataset"),
        (with_spec(ACCURACY, protocol="lm-eval"), "protocol"),
        (replace(ACCURACY, protocol_version="2"), "protocol"),
        (with_spec(ACCURACY, options=TaskOptions(shots=5)), "shots"),
        (with_spec(ACCURACY, chat=True), "chat"),
        (with_spec(ACCURACY, limit=500), "questions"),
        (with_spec(ACCURACY, subjects=("law",)), "questions"),
        (accuracy_result([sample("s/0", "yes")]), "questions"),
        (accuracy_result([sample("s/0", "yes"), sample("s/1", "yes", prompt="other")]), "prompts"),
        (accuracy_result([sample("s/0", "yes"), sample("s/1", "yes", cut=3)]), "prompts"),
        (replace(ACCURACY, status="partial", verdict=Verdict.INVALID), "partial"),
        (
            replace(ACCURACY, verdict=Verdict.INVALID, reasons=("1 of 2 questions were asked: cut short",)),
            "invalid",
        ),
        (replace(ACCURACY, verdict=None), "invalid"),
    ],
)
def test_what_makes_answers_incomparable_is_named_and_can_be_allowed(candidate, category):
    assert category in ALLOWABLE
    with pytest.raises(NotComparableError, match=f"--allow {category}") as refusal:
        compare(ACCURACY, candidate)
    assert refusal.value.exit_code == 2
    found = compare(ACCURACY, candidate, category)
    assert found.outcome is Decision.ACCEPT
    assert category in {each.category for each in found.allowed}


PERFORMANCE = performance_result()


@pytest.mark.parametrize(
    ("candidate", "category"),
    [
        (replace(PERFORMANCE, engine=replace(ENGINE, device="npu")), "device"),
        (replace(PERFORMANCE, machine={**PERFORMANCE.machine, "processor": "Q"}), "device"),
        (with_spec(PERFORMANCE, world_size=2), "device"),
        (with_spec(PERFORMANCE, batch_sizes=((1, 2),)), "cases"),
    ],
)
def test_what_makes_times_incomparable_is_named_and_can_be_allowed(candidate, category):
    with pytest.raises(NotComparableError, match=f"--allow {category}"):
        compare(PERFORMANCE, candidate)
    assert compare(PERFORMANCE, candidate, category).outcome is Decision.ACCEPT


def test_accuracy_may_come_from_another_device_which_is_told():
    candidate = replace(ACCURACY, engine=replace(ENGINE, device="npu", dtype="float16"))
    found = compare(ACCURACY, candidate)
    assert {"device", "dtype"} <= {each.fact for each in found.differences}
    assert found.allowed == ()


def test_runs_of_different_tasks_cannot_be_compared_whatever_is_allowed():
    with pytest.raises(NotComparableError, match="runs of different tasks have nothing to compare"):
        compare(ACCURACY, PERFORMANCE, *ALLOWABLE)


def test_all_that_differs_is_named_at_once():
    candidate = with_spec(ACCURACY, chat=True, protocol="lm-eval")
    with pytest.raises(NotComparableError) as refusal:
        compare(ACCURACY, candidate)
    text = str(refusal.value)
    assert "  chat: False | True" in text
    assert "  protocol: modeltest | lm-eval" in text
    assert text.endswith("--allow chat --allow protocol")


def test_failed_questions_of_a_candidate_are_a_finding_and_of_a_reference_a_fault():
    failed = accuracy_result(
        [sample("s/0", "yes"), sample("s/1", None, error="NaN")],
        verdict=Verdict.INVALID,
        reasons=("1 of 2 questions failed",),
    )
    found = compare(ACCURACY, failed)
    assert found.outcome is Decision.REJECT
    assert found.gates[0].name == "failures"
    assert compare(ACCURACY, failed, "invalid").outcome is Decision.ACCEPT
    with pytest.raises(NotComparableError, match="--allow invalid"):
        compare(failed, ACCURACY)


def test_a_run_without_results_says_what_to_do():
    unfinished = replace(ACCURACY, summary=None, status="failed")
    with pytest.raises(SpecError, match=r"B has no results yet \(status failed\).*--resume"):
        compare(ACCURACY, unfinished)


def test_runs_of_another_harness_are_compared_by_the_answers_they_kept():
    one, other = (
        replace(ACCURACY, summary=HarnessSummary("lm-eval", "0.4", (metric,)))
        for metric in (
            HarnessMetric("tiny", "none", "acc", 1.0, None, True, 0, 2, version) for version in ("1.0", "2.0")
        )
    )
    assert compare(one, one).kind == "accuracy"
    with pytest.raises(NotComparableError, match=r"version of tiny: 1\.0 \| 2\.0(?s:.*)--allow protocol"):
        compare(one, other)


def test_searches_without_a_case_in_common_are_refused_and_not_inconclusive():
    def search(case):
        found = MaxBatchCase(
            *(case, 1, 64, 50.0, SearchStatus.FOUND, "", 8, 49.0, 49.5, 9, Verdict.VALID, (), (), ())
        )
        return run_result(PERFORMANCE.spec, summary=MaxBatchSummary((found,)))

    with pytest.raises(SpecError, match="no case in common that was searched"):
        compare(search(Case(8, 8)), search(Case(16, 8)), "cases")


def test_the_part_of_another_node_has_nothing_to_compare():
    followed = replace(ACCURACY, summary=None, status="followed")
    with pytest.raises(SpecError, match="A is the part of another node, which has no results; compare"):
        compare(followed, ACCURACY)


def test_several_sessions_are_for_timed_runs():
    runs = [RunToCompare("A", ACCURACY)] * 2
    with pytest.raises(SpecError, match="several sessions on a side are for runs of performance"):
        compare_runs(runs, runs[:1], tolerances=Tolerances())


def test_equal_prompts_that_became_other_tokens_are_pointed_out():
    one = answers(sample("s/0", "yes", prompt_tokens=(1, 5, 6)))
    other = answers(sample("s/0", "yes", prompt_tokens=(1, 1, 5, 6)))
    note = tokenization_note(one, other)
    assert note is not None
    assert note.prompts == 1
    assert sentence(note.finding) == (
        "1 equal prompts became different tokens, such as s/0: 3 beginning [1, 5, 6], in the candidate 4 "
        "beginning [1, 1, 5]"
    )
    assert tokenization_note(one, one) is None
    assert list(answer_differences(one, other)) == [], "a finding, not a reason to refuse"


def test_one_checkpoint_that_reads_other_tokens_fails_though_every_answer_is_the_same():
    one, other = (accuracy_result([sample("s/0", "yes", prompt_tokens=ids)]) for ids in ((1, 5), (1, 1, 5)))
    found = compare(one, other)
    assert [(gate.name, gate.outcome) for gate in found.gates if gate.outcome is GateOutcome.FAIL] == [
        ("tokens", GateOutcome.FAIL)
    ]
    assert found.notes == ()
    assert compare(one, one).gates[1].statement == "all 1 equal prompts became the same tokens"
    elsewhere = replace(other, model=replace(other.model, fingerprint="0" * 64))
    noted = compare(one, elsewhere)
    assert noted.outcome is Decision.ACCEPT
    assert noted.notes[0].startswith("1 equal prompts became different tokens")
    assert compare(one, other, "prompts").outcome is Decision.ACCEPT


def test_everything_that_differs_is_refused_at_once():
    other = with_spec(accuracy_result([sample("s/0", "yes", prompt="other")]), chat=True)
    with pytest.raises(NotComparableError) as refusal:
        compare(ACCURACY, other)
    assert str(refusal.value).endswith("--allow chat --allow questions --allow prompts")


def test_precision_runs_need_the_same_token_ids():
    found = compare(precision_result(), precision_result())
    assert found.outcome is Decision.ACCEPT
    assert found.outputs.identical == 1
    parted = compare(precision_result(), precision_result((5, 9, 7)))
    assert parted.outcome is Decision.UNDECIDED
    assert parted.outputs.divergent[0].token_index == 1


def test_log_probabilities_of_the_tokens_can_break_the_criterion_but_not_meet_it():
    logprobs = (-0.5, -0.5, -0.5)
    close = compare(precision_result(logprobs=logprobs), precision_result(logprobs=logprobs))
    assert {gate.name: gate.outcome for gate in close.gates} == {
        "criterion": GateOutcome.INCONCLUSIVE,
        "outputs": GateOutcome.PASS,
    }
    far = compare(precision_result(logprobs=logprobs), precision_result(logprobs=(-0.5, -0.6, -0.5)))
    assert far.outcome is Decision.REJECT
    assert far.gates[0].value == pytest.approx(0.00679, abs=1e-5)


def with_distributions(result, *places):
    """Return `result` with these log-probabilities of a vocabulary of two in its places."""
    rows = tuple(
        Completion(request_id(Case(2, 3), 1, 1, place), choice_logprobs=values)
        for place, values in enumerate(places)
    )
    options = replace(result.spec.options, logits=True)
    return replace(with_spec(result, options=options), measurements=(Measurement(0, 1, 1, LOGPROBS, rows),))


def test_whole_distributions_decide_the_criterion():
    even, near, far = (-0.6931, -0.6931), (-0.6930, -0.6932), (-0.6, -0.8)
    reference = with_distributions(precision_result(), even, even, even)
    close = compare(reference, with_distributions(precision_result(), even, near, even))
    assert [(gate.name, gate.outcome) for gate in close.gates] == [("criterion", GateOutcome.PASS)]
    assert close.outputs.divergence.is_whole
    broken = compare(reference, with_distributions(precision_result(), even, far, even))
    assert broken.outcome is Decision.REJECT
    parted = compare(reference, with_distributions(precision_result((5, 9, 7)), even, near, far))
    assert parted.outputs.divergence.tokens == 2, "behind the token that differs the texts are others"
    assert parted.outcome is Decision.ACCEPT


def test_facts_that_may_differ_carry_no_category():
    other = with_spec(replace(ACCURACY, modeltest_version="2"), batch_sizes=((16,),))
    found = list(run_differences("accuracy", ACCURACY, other))
    assert [(each.category, each.fact) for each in found] == [("", "batch size"), ("", "ModelTest")]


def test_a_whole_valid_run_has_no_fault():
    assert list(faults("reference", ACCURACY, failed_questions_count=True)) == []
