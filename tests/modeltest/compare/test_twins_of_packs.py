"""Twins out of a reference pack, for runs that asked its questions."""

from dataclasses import replace

import pytest
from made_packs import pack_task
from made_runs import ENGINE, accuracy_result, run_result
from noisy_packs import candidate, noisy_pack

from modeltest.api import Completion, Decision, Sample, Score, SpecError
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances
from modeltest.compare.twins import GivenPack

PACK = noisy_pack(questions=300, texts=0)
OF_OTHERS = replace(
    PACK, manifest=replace(PACK.manifest, model=replace(PACK.manifest.model, fingerprint="e" * 64))
)
TASK = pack_task("mmlu", 300)


def run_of(answers, dtype):
    samples = []
    for question in PACK.questions:
        answer, name = answers[question.id], question.record.id
        score = Score(name, "anatomy", "", "A", answer.predicted, answer.correct, answer.margin)
        told = Completion(name, prompt_tokens=question.prompt, choice_logprobs=answer.logprobs)
        samples.append(Sample(score, told, "p"))
    summary = accuracy_result(samples).summary
    return run_result(
        TASK.spec,
        samples=tuple(samples),
        summary=summary,
        dataset=TASK.dataset,
        protocol_version=TASK.protocol_version,
        engine=replace(ENGINE, dtype=dtype),
    )


BASE = run_of(PACK.reference, "float32")
PORT = run_of(candidate(PACK, seed=7), "bfloat16")


def compare(port=PORT, pack=PACK, base=BASE):
    return compare_runs(
        [RunToCompare("base", base)],
        [RunToCompare("port", port)],
        tolerances=Tolerances(),
        twins=[GivenPack("p.ref", pack)],
    )


def test_the_twins_of_a_pack_stand_for_runs_of_them():
    found = compare()
    assert [(each.source, each.dtype, each.questions) for each in found.twins] == [
        ("p.ref#twin", "bfloat16", 300)
    ]
    assert found.outcome is Decision.ACCEPT
    assert compare(port=run_of(candidate(PACK, seed=8, rounding=0.1), "bfloat16")).outcome is Decision.REJECT


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base": replace(BASE, protocol_version="9")}, "does not ask mmlu as the runs were"),
        ({"base": replace(BASE, dataset=replace(TASK.dataset, sha256="b" * 64))}, "does not ask mmlu"),
        ({"port": replace(PORT, engine=replace(ENGINE, dtype="float16"))}, "has no twin in float16"),
        (
            {"pack": replace(PACK, questions=tuple(replace(each, prompt=(9,)) for each in PACK.questions))},
            "with other tokens than the runs",
        ),
        ({"pack": OF_OTHERS}, "is of other weights than either side"),
    ],
)
def test_a_pack_of_something_else_is_refused(fields, message):
    fields = {**fields, **({"port": replace(PORT, **_same(fields["base"]))} if "base" in fields else {})}
    with pytest.raises(SpecError, match=message):
        compare(**fields)


def _same(base):
    return {"protocol_version": base.protocol_version, "dataset": base.dataset}
