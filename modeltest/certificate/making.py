"""The certificate of a run, from its result and the manifest of its pack. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from modeltest.api import (
    AcceptanceSummary,
    Certificate,
    CertifiedAnswers,
    CertifiedCandidate,
    CertifiedPack,
    CertifiedQuestions,
    Decision,
    JournalEnd,
    PackManifest,
    PackTask,
    RunResult,
    RunStatus,
    Sample,
    SpecError,
    Verdict,
)
from modeltest.certificate.hash_tree import leaf_digest, root_of
from modeltest.packs.drafting import pack_model
from modeltest.plain.contracts import to_plain
from modeltest.sequential import draw_order


@dataclass(frozen=True, slots=True)
class Witness:
    """What a certificate has from elsewhere than the result."""

    run_sha256: str
    judged_by: str
    judged_by_sha256: str


def certificate_of(result: RunResult, manifest: PackManifest, witness: Witness) -> Certificate:
    """Return the certificate of a run of `accept`; equal runs have equal ones.

    Raises: SpecError for a run of something else; ModelTestError when its journal is damaged.
    """
    summary, pack = result.summary, result.spec.options.pack
    if not isinstance(summary, AcceptanceSummary) or pack is None:
        raise SpecError(f"a run of {result.spec.task} decides nothing that could be certified")
    verdict = result.verdict or Verdict.INVALID
    return Certificate(
        is_accepted=says_accepted(result.status, verdict, summary.decision),
        acceptance=without_places(summary),
        status=result.status,
        verdict=verdict,
        verdict_codes=tuple(each.code for each in result.reason_codes),
        answers_alone=pack.answers_alone,
        most_questions=pack.questions,
        candidate=candidate_of(result),
        pack=pack_facts(manifest),
        answers=answers_of(result.samples, seed=summary.order_seed, end=result.journal),
        run_sha256=witness.run_sha256,
        started=result.started,
        asked_by=result.modeltest_version,
        judged_by=witness.judged_by,
        judged_by_sha256=witness.judged_by_sha256,
    )


def without_places(summary: AcceptanceSummary) -> AcceptanceSummary:
    """Return what was decided without the words of a command that names paths of the machine."""
    return replace(summary, locate=())


def says_accepted(status: RunStatus, verdict: Verdict, decision: Decision) -> bool:
    """Say whether a candidate was accepted by a run that may be believed."""
    is_sound = status == RunStatus.COMPLETE and verdict is not Verdict.INVALID
    return is_sound and decision is Decision.ACCEPT


def candidate_of(result: RunResult) -> CertifiedCandidate:
    """Return what was asked."""
    spec, engine = result.spec, result.engine
    ranks = engine.ranks if engine else None
    return CertifiedCandidate(
        model=pack_model(result.model),
        files=result.model.files,
        engine_word=spec.engine,
        adapter=result.adapter,
        engine=engine.engine if engine else None,
        device=engine.device if engine else None,
        dtype=engine.dtype if engine else None,
        versions=engine.versions if engine else {},
        implementations=engine.implementations if engine else {},
        options=_masked(spec.engine_options),
        batch_size=spec.batch_sizes_of(0)[0],
        world_size=spec.world_size,
        devices=ranks.devices if ranks else (),
    )


def pack_facts(manifest: PackManifest) -> CertifiedPack:
    """Return what is told of a pack."""
    return CertifiedPack(
        created=manifest.created,
        modeltest_version=manifest.modeltest_version,
        model=manifest.model,
        questions=tuple(map(_questions, manifest.tasks)),
        texts=manifest.texts,
        computations=tuple(replace(each, options=_masked(each.options)) for each in manifest.computations),
    )


def answers_of(samples: Iterable[Sample], *, seed: int, end: JournalEnd | None) -> CertifiedAnswers:
    """Return the digest of all answers, in the order in which `seed` draws their questions.

    Not in that of the journal, where answers stand as the engine gave them. The tests take each stratum in
    this order, with the others left out.

    Raises: ValueError when a question is answered twice.
    """
    pairs = [(each.score.request_id, leaf_digest(leaf(each))) for each in samples]
    digests = dict(pairs)
    names = draw_order([name for name, _ in pairs], seed)
    return CertifiedAnswers(len(names), root_of(digests[name] for name in names).hex(), end)


def leaf(sample: Sample) -> bytes:
    """Return an answer as canonical JSON: keys sorted, no blanks, UTF-8, numbers as Python writes them."""
    plain = to_plain(sample)
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _questions(task: PackTask) -> CertifiedQuestions:
    return CertifiedQuestions(
        task=task.task,
        questions=task.questions,
        protocol=task.spec.protocol,
        protocol_version=task.protocol_version,
        dataset=task.dataset.name,
        dataset_sha256=task.dataset.sha256,
        is_official=task.dataset.official,
    )


def _masked(options: Mapping[str, str]) -> dict[str, str]:
    return {name: _without_place(value) for name, value in options.items()}


def _without_place(value: str) -> str:
    has_place = "/" in value or "\\" in value
    return f"sha256:{sha256(value.encode()).hexdigest()}" if has_place else value
