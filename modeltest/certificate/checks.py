"""A certificate held against what it is of. Pure: what is not at hand is told, and never taken for held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from math import isclose

from modeltest.acceptance.asking import PackScorer
from modeltest.api import AcceptanceSummary, Certificate, Pack, RunResult, Sample
from modeltest.certificate.making import answers_of, candidate_of, pack_facts, says_accepted, without_places
from modeltest.plain.contracts import to_plain

_NAMED = 4

_WORDS = frozenset({"statement", "reasons", "not_run"})
"""Fields that say in English what others say as values: another version may have other words."""

_ROUNDING = 1e-9
"""Of logarithms on another machine."""


class State(str, Enum):
    """What came of one check."""

    HELD = "held"
    DIFFERS = "differs"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a certificate says, held against the thing itself."""

    name: str
    state: State
    detail: str
    is_asked: bool = True
    """What is asked for and cannot be checked is no pass."""

    @property
    def passes(self) -> bool:
        """Whether nothing speaks against it."""
        return self.state is State.HELD or (self.state is State.NOT_CHECKED and not self.is_asked)


def check_itself(certificate: Certificate) -> Check:
    """Say whether a certificate contradicts itself."""
    decision = certificate.acceptance.decision
    said = says_accepted(certificate.status, certificate.verdict, decision)
    what = f"{decision.value}, the run is {certificate.status} and {certificate.verdict.value}"
    if said != certificate.is_accepted:
        return Check("certificate", State.DIFFERS, f"is_accepted is {certificate.is_accepted}, but: {what}")
    return Check("certificate", State.HELD, what)


def check_run(certificate: Certificate, result: RunResult, sha256: str) -> Iterator[Check]:
    """Hold it against `run.json`, which has this digest."""
    is_same = sha256 == certificate.run_sha256
    yield Check("run.json", _state(is_same), _digests(certificate.run_sha256, sha256))
    pack = result.spec.options.pack
    said = {
        "candidate": certificate.candidate,
        "status": certificate.status,
        "verdict": certificate.verdict,
        "verdict_codes": certificate.verdict_codes,
        "answers_alone": certificate.answers_alone,
        "most_questions": certificate.most_questions,
        "started": certificate.started,
        "asked_by": certificate.asked_by,
        "journal": certificate.answers.journal,
    }
    found = {
        "candidate": candidate_of(result),
        "status": result.status,
        "verdict": result.verdict,
        "verdict_codes": tuple(each.code for each in result.reason_codes),
        "answers_alone": pack is not None and pack.answers_alone,
        "most_questions": pack.questions if pack else None,
        "started": result.started,
        "asked_by": result.modeltest_version,
        "journal": result.journal,
    }
    model = certificate.candidate.model
    what = (
        f"{model.name}, weights {(model.fingerprint or 'unknown')[:12]}, {certificate.candidate.engine_word}"
    )
    yield _compared("candidate", said, found, what)
    summary = result.summary
    decided = without_places(summary) if isinstance(summary, AcceptanceSummary) else None
    yield _compared("decision", certificate.acceptance, decided, "as run.json has it")


def check_answers(certificate: Certificate, samples: Iterable[Sample]) -> Check:
    """Hold it against the journal, whose samples raise ModelTestError where it is damaged."""
    said = certificate.answers
    found = answers_of(samples, seed=certificate.acceptance.order_seed, end=said.journal)
    if (found.leaves, found.root) == (said.leaves, said.root):
        return Check("journal", State.HELD, f"{said.leaves} answers, root {said.root[:12]}")
    counts = f"{found.leaves} answers for {said.leaves}; " if found.leaves != said.leaves else ""
    return Check("journal", State.DIFFERS, f"{counts}{_digests(said.root, found.root)}")


def check_pack(certificate: Certificate, pack: Pack, sha256: str) -> Check:
    """Hold what it says of its pack against the pack, which has this digest."""
    if sha256 != certificate.acceptance.pack_sha256:
        return Check("pack", State.DIFFERS, _digests(certificate.acceptance.pack_sha256, sha256))
    said, found = certificate.pack, pack_facts(pack.manifest)
    return _compared("pack", said, found, f"sha256 {sha256[:12]}, of {found.model.name}")


def check_scores(pack: Pack, samples: Iterable[Sample]) -> Check:
    """Say whether every answer is scored as the rule of its task scores what the engine said.

    Raises: as `PackScorer`.
    """
    scorer = PackScorer(pack)
    known = {each.id for each in pack.questions} | {each.id for each in pack.texts}
    known |= {each.id for each in pack.wordings}
    is_right = {
        each.score.request_id: each.score.request_id in known and scorer.score(each.completion) == each.score
        for each in samples
    }
    if wrong := [name for name, right in is_right.items() if not right]:
        return Check("scores", State.DIFFERS, f"{len(wrong)} of {len(is_right)} answers: {_named(wrong)}")
    return Check("scores", State.HELD, f"{len(is_right)} answers, each by the rule of its task")


def check_tests(certificate: Certificate, judged: AcceptanceSummary, judged_by_sha256: str) -> Check:
    """Hold the decision and the evidence against those of answers that were judged again, by this ModelTest.

    Another one, which `judged_by_sha256` tells, may have other tests: then that is said.
    """
    what = f"{judged.decision.value}, {len(judged.tests)} tests"
    found = _compared("tests", certificate.acceptance, without_places(judged), what)
    if found.state is State.DIFFERS and judged_by_sha256 != certificate.judged_by_sha256:
        other = f"{certificate.judged_by}, {certificate.judged_by_sha256[:12]}"
        why = f"it was judged by another ModelTest ({other}), which may have other tests"
        return replace(found, detail=f"{found.detail}; {why}")
    return found


def _compared(name: str, said: object, found: object, what: str) -> Check:
    places = list(differences(to_plain(said), to_plain(found)))
    if places:
        return Check(name, State.DIFFERS, _named(places))
    return Check(name, State.HELD, what)


def differences(said: object, found: object, place: str = "") -> Iterator[str]:
    """Yield the places in which plain values differ, with both; words are left out, rounding is allowed."""
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        for name in sorted({*said, *found} - _WORDS):
            yield from differences(said.get(name), found.get(name), f"{place}.{name}" if place else name)
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for at, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from differences(one, other, f"{place}[{at}]")
    elif isinstance(said, list) and isinstance(found, list):
        yield f"{place} are {len(found)}, the certificate has {len(said)}"
    elif not _are_equal(said, found):
        yield f"{place} is {_short(found)}, the certificate has {_short(said)}"


def _are_equal(said: object, found: object) -> bool:
    if isinstance(said, float) and isinstance(found, float):
        return isclose(said, found, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    return said == found


def _short(value: object) -> str:
    return f"{value!r:.60}"


def _digests(said: str, found: str) -> str:
    return f"sha256 {found[:12]}" + ("" if said == found else f", the certificate has {said[:12]}")


def _state(is_same: bool) -> State:
    return State.HELD if is_same else State.DIFFERS


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return "; ".join(islice(names, _NAMED)) + (f"; and {more} more" if more > 0 else "")
