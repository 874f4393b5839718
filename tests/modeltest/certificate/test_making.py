"""What a certificate says of a run, and that its answers have one digest whatever their order."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from made_packs import letters, made_pack

from modeltest.api import (
    Completion,
    Decision,
    JournalEnd,
    RunSpec,
    RunStatus,
    Sample,
    Score,
    SpecError,
    Verdict,
)
from modeltest.certificate.hash_tree import leaf_digest, root_of
from modeltest.certificate.making import Witness, answers_of, certificate_of, leaf, pack_facts, says_accepted
from modeltest.sequential import draw_order

END = JournalEnd(3, 100, "0" * 64)


def sample(name, text="A"):
    return Sample(Score(name, "s", "c", "A", text, text == "A"), Completion(name, text=text), "0" * 64)


SAMPLES = [sample(name) for name in ("q/1", "q/2", "q/3")]


def test_a_leaf_is_the_answer_as_json_with_sorted_keys_and_no_blanks():
    data = leaf(sample("q/é"))
    assert json.loads(data)["score"]["request_id"] == "q/é"
    assert (
        data
        == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_answers_are_digested_in_the_order_of_the_seed_whatever_that_of_the_journal():
    by_id = {each.score.request_id: each for each in SAMPLES}
    for seed in range(6):
        root = root_of(leaf_digest(leaf(by_id[name])) for name in draw_order(tuple(by_id), seed))
        found = answers_of(SAMPLES, seed=seed, end=END)
        assert (found.leaves, found.root, found.journal) == (3, root.hex(), END)
        assert answers_of(reversed(SAMPLES), seed=seed, end=END) == found


def test_another_answer_is_another_digest():
    forged = [*SAMPLES[:2], sample("q/3", "B")]
    assert answers_of(forged, seed=0, end=END).root != answers_of(SAMPLES, seed=0, end=END).root


def test_a_question_that_is_answered_twice_is_refused():
    with pytest.raises(ValueError, match="q/1"):
        answers_of([*SAMPLES, SAMPLES[0]], seed=0, end=None)


@pytest.mark.parametrize(
    ("status", "verdict", "decision", "is_accepted"),
    [
        (RunStatus.COMPLETE, Verdict.VALID, Decision.ACCEPT, True),
        (RunStatus.COMPLETE, Verdict.INVALID, Decision.ACCEPT, False),
        (RunStatus.PARTIAL, Verdict.VALID, Decision.ACCEPT, False),
        (RunStatus.COMPLETE, Verdict.VALID, Decision.REJECT, False),
        (RunStatus.COMPLETE, Verdict.VALID, Decision.UNDECIDED, False),
    ],
)
def test_accepted_is_what_a_sound_run_accepts(status, verdict, decision, is_accepted):
    assert says_accepted(status, verdict, decision) is is_accepted


def test_no_path_among_the_options_of_a_computation_is_told():
    pack = made_pack([letters(1)], [])
    options = {"attention": "eager", "url": "http://host:1/v1"}
    told = tuple(replace(each, options=options) for each in pack.manifest.computations)
    found = pack_facts(replace(pack.manifest, computations=told)).computations[0].options
    assert found["attention"] == "eager"
    assert found["url"] == f"sha256:{sha256(b'http://host:1/v1').hexdigest()}"


def test_a_run_that_decides_nothing_is_refused():
    pack = made_pack([letters(1)], [])

    class Other:
        summary = None
        spec = RunSpec("fake", "sample", "boolq", "auto", "none")

    with pytest.raises(SpecError, match="boolq decides nothing"):
        certificate_of(Other(), pack.manifest, Witness("", "", ""))
