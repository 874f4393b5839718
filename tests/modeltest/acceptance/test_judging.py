from dataclasses import replace

import pytest
from noisy_packs import ROUNDING, TOKENS, answered, candidate, noisy_pack, scored

from modeltest.acceptance.judging import (
    FIRST_QUESTIONS,
    MOST_QUESTIONS,
    TEXTS,
    Asked,
    Judging,
    cut_of,
    drop_limits_of,
)
from modeltest.api import Decision, Leaning, PackText
from modeltest.sequential import Stratum
from modeltest.shifts.answers import MAX_DROP, MOST_DROP, DropLimits

PACK = noisy_pack(questions=600, texts=160)
CLEAN = candidate(PACK, seed=7)


def judging(pack=PACK, *, max_drop=0.05, **fields):
    drop = DropLimits(max_drop, max_drop)
    return Judging(pack, Asked(**{"seed": 0, "drop": drop, "tells_tokens": True, "dtype": None, **fields}))


def tilted(strength):
    def fault(_, at, __):
        return strength * ROUNDING * (1 if at < TOKENS // 2 else -1)

    return fault


def test_a_correct_port_is_accepted_without_asking_everything():
    found = answered(PACK, CLEAN, judging())
    assert found.decision is Decision.ACCEPT
    assert found.questions < 600
    assert found.texts < 160


def test_a_fault_that_changes_no_answer_is_found_in_texts():
    faulty = candidate(PACK, seed=7, fault=lambda unit, at, p: tilted(1.0)(unit, at, p) * ("text" in unit))
    found = answered(PACK, faulty, judging())
    assert found.decision is Decision.REJECT
    assert found.texts <= 64
    assert found.flips.leaning is not Leaning.FAILED


def test_one_text_in_eight_with_the_answer_of_another_is_found():
    """The others are those of a correct port, so no mean is far off."""
    faulty = dict(CLEAN)
    for number, each in enumerate(PACK.texts):
        if number % 8 == 0:
            faulty[each.id] = replace(CLEAN[each.id], logprobs=(-5.0,) * TOKENS)
    found = answered(PACK, faulty, judging())
    assert found.decision is Decision.REJECT
    assert found.tokens.outliers.leaning is Leaning.FAILED
    assert found.tokens.outliers.rate == pytest.approx(1 / 8, abs=0.12)
    assert all(test.leaning is not Leaning.FAILED for test in found.tokens.tests.values())


def test_answers_that_differ_widely_are_found_without_texts():
    faulty = dict(CLEAN)
    for number, question in enumerate(PACK.questions):
        if number % 5 == 0:
            best = "ABCD".index(PACK.reference[question.id].predicted)
            faulty[question.id] = scored(
                PACK, question.id, tuple(-0.1 if at == (best + 1) % 4 else -3.0 for at in range(4))
            )
    found = answered(PACK, faulty, judging(tells_tokens=False))
    assert found.decision is Decision.REJECT
    assert found.questions <= 300


def test_a_port_that_fails_everything_is_rejected_at_once():
    found = answered(PACK, {}, judging())
    assert found.decision is Decision.REJECT
    assert found.failed <= TEXTS + FIRST_QUESTIONS


def test_equal_answers_are_accepted():
    assert answered(PACK, PACK.reference, judging()).decision is Decision.ACCEPT


def test_equal_answers_and_seeds_ask_the_same():
    one, other, third = judging(), judging(), judging(seed=1)
    first = [unit.id for unit in one.window()]
    assert first == [unit.id for unit in other.window()]
    assert first != [unit.id for unit in third.window()]


def test_nothing_is_asked_twice():
    found, seen = judging(), []
    while window := found.window():
        seen += [unit.id for unit in window]
        found.take([(unit, CLEAN[unit.id]) for unit in window])
    assert len(seen) == len(set(seen))


def test_windows_begin_small_and_double():
    found = judging(max_drop=0.001)
    sizes = []
    while window := found.window():
        questions = [unit for unit in window if not isinstance(unit, PackText)]
        sizes.append(len(questions))
        found.take([(unit, CLEAN[unit.id]) for unit in window])
    assert sizes[:3] == [32, 64, 128]
    assert max(sizes) <= MOST_QUESTIONS


def test_a_limit_of_questions_leaves_it_undecided():
    found = answered(PACK, CLEAN, judging(questions=40, max_drop=0.005))
    assert found.decision is None
    assert found.questions == 40


def test_without_tokens_no_text_is_asked():
    found = answered(PACK, CLEAN, judging(tells_tokens=False))
    assert found.texts == 0
    assert found.tokens is None
    assert found.decision is Decision.ACCEPT


def test_what_comes_after_the_decision_counts_no_more():
    found = answered(PACK, {}, judging())
    before = (found.questions, found.texts)
    found.take([(PACK.questions[0], CLEAN[PACK.questions[0].id])])
    assert (found.questions, found.texts) == before


def test_questions_within_six_times_what_rounding_does_to_margins_are_near_ties():
    cut = cut_of(PACK)
    assert 5 * ROUNDING < cut < 12 * ROUNDING
    strata = judging().strata
    for question in PACK.questions:
        near = PACK.reference[question.id].margin <= cut
        assert (strata[question.id] is Stratum.NEAR) is near


def test_a_drop_that_rounding_makes_is_not_asked_to_be_excluded():
    limits = drop_limits_of(PACK)
    assert limits.passing == MOST_DROP < limits.failing
    assert drop_limits_of(PACK, 0.001) == DropLimits(0.001, 0.001)
    still = replace(PACK, answers={**PACK.answers, "twin": PACK.reference})
    assert drop_limits_of(still) == DropLimits(MAX_DROP, MAX_DROP)


def with_lost(pack, answers, count):
    """Have `count` more questions answered wrongly than the reference did, among near-ties first."""
    right = [each.id for each in pack.questions if pack.reference[each.id].correct]
    lost = sorted(right, key=lambda name: pack.reference[name].margin)[:count]
    rest = {
        each.id: replace(answers[each.id], correct=pack.reference[each.id].correct) for each in pack.questions
    }
    return {**answers, **rest, **{name: replace(answers[name], correct=False) for name in lost}}


def test_a_drop_that_is_too_small_to_tell_and_too_large_to_pass_is_undecided():
    pack = noisy_pack(questions=100, texts=60, near=0.6)
    drop, clean = DropLimits(0.05, 0.12), candidate(pack, seed=7)

    def decided(lost):
        found = answered(pack, with_lost(pack, clean, lost), judging(pack, drop=drop))
        return found.decision, found.drop.leaning

    assert decided(4) == (Decision.ACCEPT, Leaning.PASSED)
    assert decided(5) == (None, Leaning.OPEN)
    assert decided(11) == (None, Leaning.OPEN)
    assert decided(12) == (Decision.REJECT, Leaning.FAILED)


@pytest.mark.slow
def test_of_200_correct_ports_none_is_rejected_and_nearly_all_are_accepted():
    pack = noisy_pack(questions=200, texts=120, near=0.04)  # of more near-ties rounding loses over 5 points
    drop = drop_limits_of(pack)
    ends = [
        answered(pack, candidate(pack, seed=100 + seed), judging(pack, seed=seed, drop=drop)).decision
        for seed in range(200)
    ]
    assert ends.count(Decision.REJECT) == 0
    assert ends.count(Decision.ACCEPT) >= 190
