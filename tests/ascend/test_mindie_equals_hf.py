"""Answers through MindIE's runner are those of the reference on the same checkpoint."""

from dataclasses import replace

import calls
import pytest

from modeltest.api import RunSpec, TaskOptions

ROUNDING = 0.01
"""Nats. Both compute in float16; rows that share a beginning are computed in another order."""


def _tasks(spec):
    base = replace(spec, split="sample", batch_sizes=((4,),))
    return [
        replace(base, mode="sample_BoolQ", task="boolq", limit=8),
        *(
            replace(
                base,
                mode=f"{name} {protocol}",
                task=name,
                limit=1,
                protocol=protocol,
                options=TaskOptions(shots=1),
            )
            for name in ("ceval", "mmlu")
            for protocol in ("modeltest", "lm-eval")
        ),
    ]


@pytest.fixture
def answers(stand_in):
    """Return the samples of both engines, each in a process of its own, by task and question."""
    place = replace(stand_in, spec=replace(stand_in.spec, max_position_embeddings=1024))
    through_mindie = place.call(calls.ask, _tasks(place.spec))
    spec: RunSpec = replace(place.spec, engine="hf", dtype="float16", device="cpu", engine_options={})
    return through_mindie, replace(place, spec=spec).call_plainly(calls.ask, _tasks(spec))


def test_boolq_ceval_and_mmlu_answers_equal_those_of_hf(answers):
    through_mindie, plainly = answers
    assert through_mindie.keys() == plainly.keys()
    for mode, samples in plainly.items():
        found = through_mindie[mode]
        assert found.keys() == samples.keys(), mode
        for key, sample in samples.items():
            assert found[key].score.error is None
            assert found[key].prompt_sha256 == sample.prompt_sha256
            assert found[key].completion.prompt_tokens == sample.completion.prompt_tokens
            assert found[key].score.predicted == sample.score.predicted, (mode, key)
            assert found[key].completion.choice_logprobs == pytest.approx(
                sample.completion.choice_logprobs, abs=ROUNDING
            )
