"""Certified questions asked again on this machine, by a run as every other."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from modeltest.acceptance.asking import PackScorer
from modeltest.api import WORDING_PREFIX, Certificate, Pack, PackAnswer, PackOptions, Sample
from modeltest.certificate.asking_again import check_again, drawn
from modeltest.certificate.checks import Check, State
from modeltest.library.carrying_out import How
from modeltest.options.certificate import RecomputeAsked
from modeltest.run.planning.plan import Plan, plan
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.launch import launch
from modeltest.run.supervisor.workers import Workers


def recomputed(
    certificate: Certificate,
    samples: Iterable[Sample],
    pack: tuple[Pack, Path],
    asked: RecomputeAsked,
    how: How,
) -> Iterator[Check]:
    """Ask some of the questions of `samples` again and hold the answers against them; `pack` with its file.

    Raises: SpecError; ModelTestError when the run fails; KeyboardInterrupt.
    """
    read, path = pack
    scorer = PackScorer(read)
    asked_again = (each for each in samples if not each.score.request_id.startswith(WORDING_PREFIX))
    then = {sample.score.request_id: scorer.answer(sample) for sample in asked_again}
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    names = drawn(then, asked.count, seed)
    options = PackOptions(str(path), certificate.acceptance.pack_sha256, only=names)
    planned = plan(asked.spec(certificate, options))
    weights = _weights(certificate, planned)
    yield weights
    told = f"{len(names)} of {len(then)} answers (--seed {seed})"
    if weights.state is State.DIFFERS:
        yield Check("recomputed", State.NOT_CHECKED, "other weights say nothing of these")
        return
    now = dict.fromkeys(names) | _answers(planned, scorer, how)
    yield check_again(read, then, now, dtype=certificate.candidate.dtype, told=told)


def _weights(certificate: Certificate, planned: Plan) -> Check:
    said, found = certificate.candidate.model.fingerprint, planned.model.fingerprint
    if said is None or found is None:
        return Check("weights", State.NOT_CHECKED, "no checkpoint to look at", is_asked=False)
    if said != found:
        return Check("weights", State.DIFFERS, f"sha256 {found[:12]}, the certificate has {said[:12]}")
    return Check("weights", State.HELD, f"sha256 {found[:12]}")


def _answers(planned: Plan, scorer: PackScorer, how: How) -> dict[str, PackAnswer | None]:
    outcome = launch(
        planned, command=None, progress=how.progress, verbose=how.verbose, workers=Workers(how.limits)
    )
    if outcome.interrupt is not None:
        raise outcome.interrupt
    samples = read_result(outcome.directory).samples
    return {sample.score.request_id: scorer.answer(sample) for sample in samples}
