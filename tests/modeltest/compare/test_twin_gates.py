from dataclasses import replace

import pytest
from made_answers import counted, sample
from made_runs import ENGINE, MODEL, accuracy_result, performance_result, with_spec
from rounded_runs import rounded_run

from modeltest.api import Decision, GateOutcome, SpecError
from modeltest.compare.comparable import NotComparableError
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances
from modeltest.compare.twin_gates import exact_accuracy_gate, exact_flip_gate
from modeltest.compare.twins import needs_twin
from modeltest.shifts.answers import DropLimits
from modeltest.shifts.noise import FEWEST_UNITS

BASE, TWIN, PORT = rounded_run(None), rounded_run(1), rounded_run(2)


def compare(reference, candidate, *twins, allow=(), **tolerances):
    return compare_runs(
        [RunToCompare("base", reference)],
        [RunToCompare("port", candidate)],
        tolerances=Tolerances(**tolerances),
        allow=allow,
        twins=[RunToCompare(f"twin {number}", each) for number, each in enumerate(twins)],
    )


def outcomes(found):
    return {f"{gate.name} {gate.part}".strip(): gate.outcome for gate in found.gates}


def test_across_dtypes_rounding_and_faults_are_not_parted_without_a_twin():
    for candidate in (PORT, rounded_run(3, fault=0.1)):
        found = compare(BASE, candidate)
        assert found.outcome is Decision.UNDECIDED
        (gate,) = (
            each for each in found.gates if each.outcome is not GateOutcome.PASS and each.name == "rounding"
        )
        assert "--twin" in gate.statement


def test_a_difference_that_rounding_cannot_be_fails_without_a_twin_too():
    assert compare(BASE, rounded_run(3, fault=5.0)).outcome is Decision.REJECT


def test_one_engine_in_one_dtype_needs_no_twin():
    assert compare(TWIN, TWIN).outcome is Decision.ACCEPT
    assert "rounding" not in outcomes(compare(TWIN, PORT))


@pytest.mark.parametrize(
    ("candidate", "needed"),
    [
        (BASE, False),
        (replace(BASE, adapter="fa"), False),
        (replace(BASE, engine=replace(ENGINE, dtype="float16")), True),
        (replace(BASE, model=replace(MODEL, quantize="w8a8")), True),
    ],
)
def test_other_arithmetic_needs_a_twin_and_another_engine_in_float32_does_not(candidate, needed):
    assert needs_twin(BASE, candidate) is needed


def test_another_engine_in_a_coarse_dtype_needs_a_twin():
    assert needs_twin(TWIN, replace(PORT, adapter="fa"))


def test_a_right_port_is_accepted_beside_a_twin():
    found = compare(BASE, PORT, TWIN)
    assert found.outcome is Decision.ACCEPT
    assert [gate for gate in outcomes(found) if gate.startswith("shifts")] == [
        "shifts shift",
        "shifts shift by likelihood",
        "shifts spread",
        "shifts outliers",
    ]
    assert [each.source for each in found.twins] == ["twin 0"]
    assert any("texts token by token" in note for note in found.notes)


def test_a_fault_as_large_as_rounding_is_rejected_beside_a_twin():
    found = compare(BASE, rounded_run(3, fault=0.1), TWIN)
    assert found.outcome is Decision.REJECT
    assert outcomes(found)["answers"] is GateOutcome.PASS


def test_what_only_one_twin_is_far_from_is_no_fault():
    far = rounded_run(5, fault=0.1)
    assert compare(BASE, PORT, far).outcome is Decision.REJECT
    assert compare(BASE, PORT, far, TWIN).outcome is not Decision.REJECT


def test_a_twin_that_moves_nothing_says_nothing_of_rounding():
    still = replace(BASE, engine=TWIN.engine)
    assert outcomes(compare(BASE, PORT, still))["shifts"] is GateOutcome.INCONCLUSIVE
    assert outcomes(compare(BASE, still, still))["shifts"] is GateOutcome.PASS


def test_few_questions_and_answers_without_log_probabilities_tell_nothing_of_shifts():
    few = [rounded_run(seed, questions=FEWEST_UNITS - 1) for seed in (None, 2, 1)]
    found = compare(*few)
    assert outcomes(found)["shifts"] is GateOutcome.INCONCLUSIVE
    assert found.outcome is Decision.UNDECIDED
    generated = [
        accuracy_result([sample(f"s/{each}", "yes") for each in range(30)], engine=run.engine)
        for run in (BASE, PORT, TWIN)
    ]
    assert outcomes(compare(*generated))["shifts"] is GateOutcome.INCONCLUSIVE


def test_the_divergence_is_judged_beside_a_twin_only_where_it_is_asked_for():
    assert "divergence" not in outcomes(compare(BASE, PORT, TWIN))
    assert outcomes(compare(BASE, PORT, TWIN, max_kl=1.0))["divergence"] is GateOutcome.PASS


def test_a_drop_on_these_questions_is_counted():
    def gate(questions, lost):
        return exact_accuracy_gate(counted(questions, lost, 0), DropLimits(0.02, 0.02), share=1e-4)

    found = gate(100, 1)
    assert (found.outcome, found.value, found.limit) == (GateOutcome.PASS, -0.01, -0.02)
    assert gate(100, 2).outcome is GateOutcome.INCONCLUSIVE
    assert gate(100, 14).outcome is GateOutcome.INCONCLUSIVE
    assert gate(100, 15).outcome is GateOutcome.FAIL
    assert gate(0, 0).outcome is GateOutcome.INCONCLUSIVE


def test_a_drop_that_a_small_twin_does_not_tell_from_rounding_neither_passes_nor_fails():
    def gate(lost):
        return exact_accuracy_gate(counted(100, lost, 0), DropLimits(0.05, 0.17, 1130), share=1e-4)

    assert [gate(lost).outcome for lost in (0, 4, 5, 16, 17)] == [
        GateOutcome.PASS,
        GateOutcome.PASS,
        GateOutcome.INCONCLUSIVE,
        GateOutcome.INCONCLUSIVE,
        GateOutcome.FAIL,
    ]
    assert gate(16).questions_needed == 1130
    assert "from 17.00% on" in gate(16).statement
    assert "about 1130 questions" in gate(16).statement
    assert "--max-drop" in gate(16).statement
    assert gate(4).questions_needed is None


def changed(run, lost, won=0):
    """Have a run answer so many questions wrongly that it answered rightly, and the other way round."""
    samples, left = [], {True: lost, False: won}
    for each in run.samples:
        is_right = each.score.correct
        is_changed = left[is_right] > 0
        left[is_right] -= is_changed
        samples.append(replace(each, score=replace(each.score, correct=is_right is not is_changed)))
    return replace(run, samples=samples)


def test_beside_a_small_twin_a_large_drop_is_no_accept_unless_it_was_asked_for():
    twin = changed(TWIN, 15, 15)  # of 300 questions: drops are told from 10.8 points on
    lossy = changed(PORT, 30)
    found = compare(BASE, lossy, twin)
    assert found.outcome is Decision.UNDECIDED
    assert [name for name, each in outcomes(found).items() if each is not GateOutcome.PASS] == ["accuracy"]
    assert compare(BASE, lossy, twin, max_drop=0.2).outcome is Decision.ACCEPT
    assert compare(BASE, changed(PORT, 14), twin).outcome is Decision.ACCEPT
    assert compare(BASE, changed(PORT, 33), twin).outcome is Decision.REJECT


def test_flips_that_rounding_does_not_explain_are_counted():
    def gate(wide):
        return exact_flip_gate(counted(100, wide, 0, wide=wide), cut=0.5, allowed=None, share=1e-4)

    assert [gate(wide).outcome for wide in (0, 1, 2, 6, 7)] == [
        GateOutcome.PASS,
        GateOutcome.PASS,
        GateOutcome.INCONCLUSIVE,
        GateOutcome.INCONCLUSIVE,
        GateOutcome.FAIL,
    ]


@pytest.mark.parametrize(
    ("twin", "message"),
    [
        (
            replace(TWIN, engine=replace(ENGINE, dtype="float16")),
            "was computed in float16, the candidate in bfloat16",
        ),
        (replace(TWIN, model=replace(MODEL, fingerprint="e" * 64)), "of other weights than either side"),
        (
            replace(TWIN, model=replace(MODEL, quantize="w8a8")),
            "w8a8 quantised weights, the candidate unquantised",
        ),
    ],
)
def test_what_is_no_twin_is_refused(twin, message):
    with pytest.raises(SpecError, match=message):
        compare(BASE, PORT, twin)


def test_a_twin_that_was_asked_something_else_is_refused_unless_that_is_allowed():
    other = with_spec(TWIN, chat=True)
    with pytest.raises(NotComparableError, match=r"\(reference \| twin\):\n  chat: False \| True"):
        compare(BASE, PORT, other)
    assert compare(BASE, PORT, other, allow=("chat",)).outcome is Decision.ACCEPT


def test_a_twin_beside_runs_without_questions_is_refused():
    with pytest.raises(SpecError, match="these runs are of performance"):
        compare(performance_result(), performance_result(), TWIN)


def test_all_gates_share_the_false_alarms_of_a_year():
    found = compare(BASE, rounded_run(3, fault=0.1), TWIN, alarms_per_year=2, comparisons_per_year=1000)
    assert found.false_alarms == 0.002
    (gate, *_) = (each for each in found.gates if each.outcome is GateOutcome.FAIL)
    assert gate.statement_code.values["share"] == pytest.approx(0.002 / 6)


def mixed_up(run, count):
    """Have so many questions answered with the log-probabilities of a far likelier choice each."""
    samples = list(run.samples)
    for place in range(count):
        each = samples[place]
        first, *others = each.completion.choice_logprobs
        told = (
            (first - 0.9, *others)
            if each.score.predicted == "no"
            else (first, *(one - 0.9 for one in others))
        )
        samples[place] = replace(each, completion=replace(each.completion, choice_logprobs=told))
    return replace(run, samples=samples)


@pytest.mark.parametrize(
    ("count", "outcome"),
    [
        (2, GateOutcome.PASS),
        (3, GateOutcome.INCONCLUSIVE),
        (20, GateOutcome.FAIL),
    ],
)
def test_answers_that_are_seldom_mixed_up_do_not_pass(count, outcome):
    """No answer changes, and no mean is far off while they are few. A right port has two of 300 at most."""
    found = compare(BASE, mixed_up(PORT, count), TWIN)
    gate = next(each for each in found.gates if each.part == "outliers")
    assert (gate.value, gate.limit) == (count / 300, pytest.approx(2 / 300))
    assert gate.outcome is outcome
    assert outcomes(found)["answers"] is GateOutcome.PASS
    assert gate.statement.startswith(f"{count} of 300 questions are more than twice as far off")
