"""`certificate.json`: what an acceptance run found, of what, by what, so that somebody else can check it.

It holds no path of the machine: it is made to leave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modeltest.api.acceptance import AcceptanceSummary
from modeltest.api.reference import Computation, PackModel
from modeltest.api.results import JournalEnd, RunStatus
from modeltest.api.verdict import Verdict

CERTIFICATE_FILE = "certificate.json"
"""In the directory of a run."""


@dataclass(frozen=True, slots=True)
class CertifiedCandidate:
    """What was asked: the checkpoint, and what computed its answers."""

    model: PackModel
    files: Mapping[str, str]
    """sha256 of each file of the checkpoint that decides an answer, by its name; of weights, of samples."""

    engine_word: str
    adapter: str | None
    """The engine plug-in that served the word."""

    engine: str | None
    """What it says of itself once loaded; `None`, as the next ones, of a run that never came so far."""

    device: str | None
    dtype: str | None
    versions: Mapping[str, str]
    implementations: Mapping[str, str]
    options: Mapping[str, str]
    """Of the engine. A value with a slash, as paths and addresses have, is told by its sha256 alone."""

    batch_size: int
    world_size: int
    devices: tuple[str, ...]
    """Of each rank, where there were several."""


@dataclass(frozen=True, slots=True)
class CertifiedQuestions:
    """The questions of one task in the pack."""

    task: str
    questions: int
    protocol: str
    protocol_version: str | None
    dataset: str
    dataset_sha256: str
    is_official: bool


@dataclass(frozen=True, slots=True)
class CertifiedPack:
    """What the candidate was judged by; its sha256 is that in the acceptance."""

    created: str
    """UTC."""

    modeltest_version: str
    model: PackModel
    questions: tuple[CertifiedQuestions, ...]
    texts: int
    computations: tuple[Computation, ...]
    """The reference first, then twins and directions. Options as those of a candidate."""


@dataclass(frozen=True, slots=True)
class CertifiedAnswers:
    """Every answer in the journal, by one digest."""

    leaves: int
    root: str
    """Of the hash tree (RFC 6962, SHA-256) over the answers as canonical JSON, in the order of the seed."""

    journal: JournalEnd | None
    """Of the file itself; `None` of a run that has not come to its end."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was found, and what it rests on."""

    is_accepted: bool
    """The run came to its end, its numbers may be used, and the decision is ACCEPT."""

    acceptance: AcceptanceSummary
    """The decision with every test, its evidence and limits, the risks, and what was not tested.

    Without the words of `locate`, which name places.
    """

    status: RunStatus
    verdict: Verdict
    verdict_codes: tuple[str, ...]
    """Why the verdict is what it is."""

    answers_alone: bool
    """The decision may rest on answers though no log-probabilities of texts were told."""

    most_questions: int | None
    """How many questions could be asked at most; `None`: all of the pack."""

    candidate: CertifiedCandidate
    pack: CertifiedPack
    answers: CertifiedAnswers
    run_sha256: str
    """Of `run.json`."""

    started: str
    """UTC."""

    asked_by: str | None
    """The version of ModelTest that asked."""

    judged_by: str
    """The version of ModelTest that judged, and wrote this."""

    judged_by_sha256: str
    """Over the names and contents of its files."""
