"""The command that is told after a REJECT: the user's own values, in words that `locate` takes."""

from dataclasses import replace

import pytest
from noisy_packs import noisy_pack

from modeltest.acceptance.advice import locate_words
from modeltest.api import Decision, RunSpec
from modeltest.options.asked import asked_by_words
from modeltest.present.acceptance import AcceptancePresentation

MANIFEST = noisy_pack(questions=4, texts=4).manifest
REFERENCE = MANIFEST.tasks[0].spec.weights


def test_the_words_are_those_of_locate_and_ask_for_the_same_candidate():
    spec = RunSpec(
        *("hf", "accept", "accept", "auto", "/models/a port"),
        dtype="bfloat16",
        device="cpu",
        allow_dtype_cast=True,
        max_position_embeddings=512,
        engine_options={"attention": "eager"},
    )
    modeltest, command, *words = locate_words(spec, MANIFEST)
    assert (modeltest, command) == ("modeltest", "locate")
    asked = asked_by_words("locate", words)
    assert asked.options.locate is not None
    assert asked.options.locate.reference == REFERENCE
    alike = ("engine", "weights", "dtype", "device", "allow_dtype_cast", "max_position_embeddings")
    for name in (*alike, "engine_options", "trust_remote_code"):
        assert getattr(asked, name) == getattr(spec, name), name


def test_a_pack_without_a_task_does_not_know_its_reference():
    spec = RunSpec("hf", "accept", "accept", "auto", "/w")
    words = locate_words(spec, replace(MANIFEST, tasks=()))
    assert words[2:6] == ("--reference", "DIR", "--model", "/w")


def test_of_a_served_model_who_serves_it_knows_the_checkpoint():
    spec = RunSpec("openai", "accept", "accept", "auto", "http://localhost:8000/v1", dtype="bfloat16")
    words = locate_words(spec, MANIFEST)
    assert words[4:8] == ("--model", "http://localhost:8000/v1", "--served-from", "DIR")
    asked = asked_by_words("locate", words[2:])
    assert (asked.weights, asked.dtype) == (spec.weights, "bfloat16")


def test_it_is_told_behind_the_reasons_and_quoted_for_a_shell(rejected):
    said = "modeltest locate --reference '/a b' --model /w --engine hf"
    words = ("modeltest", "locate", "--reference", "/a b", "--model", "/w", "--engine", "hf")
    outcome = AcceptancePresentation().outcome(replace(rejected, locate=words))
    assert outcome.reasons[-1].endswith(said)
    assert outcome.reason_codes[-1].values == {"command": said}
    assert len(outcome.reasons) == len(outcome.reason_codes) == len(rejected.reasons) + 1


def test_nothing_is_told_without_it(rejected):
    assert AcceptancePresentation().outcome(rejected).reasons == rejected.reasons


@pytest.fixture
def rejected():
    from modeltest.api import AcceptanceCost, AcceptanceSummary, Finding, FindingCode

    return AcceptanceSummary(
        decision=Decision.REJECT,
        reasons=("it differs",),
        reason_codes=(Finding(FindingCode.TEXT, {"text": "it differs"}),),
        tests=(),
        not_run=(),
        risk_of_wrong_accept=0.01,
        risk_of_wrong_reject=0.0003,
        max_drop=0.005,
        pack_sha256="0" * 64,
        order_seed=0,
        cost=AcceptanceCost(1, 2, 3, 4, 5, 6),
        failed=0,
    )
