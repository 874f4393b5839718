"""What a worker knows of a run that was begun before: from its journal and its interruptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import Interruption, Sample
from modeltest.run.record.journal import JournalReader
from modeltest.run.worker.accuracy import Begun


@dataclass(frozen=True, slots=True)
class TrialsLost:
    """The trials that were being run when a worker was lost, by `trial_name`."""

    once: Collection[str]
    given_up: Mapping[str, Interruption]


def answered_in(journal: Path) -> dict[str, str]:
    """Return the questions in a journal, each with the digest of its prompt."""
    return {sample.score.request_id: sample.prompt_sha256 for sample in JournalReader(journal, Sample)}


def begun_questions(interruptions: Sequence[Interruption], answered: frozenset[str]) -> Begun:
    """Return what an accuracy run that goes on asks, and how.

    A question that was answered did not end a worker; so what was in flight at a loss counts only as long as
    the journal has not grown since.
    """
    done = len(answered)
    return Begun(
        answered=answered,
        given_up={name: lost.reason for lost in interruptions if lost.given_up for name in lost.suspects},
        in_flight=max((lost.in_flight for lost in interruptions if lost.done == done), default=0),
    )


def trials_lost(interruptions: Sequence[Interruption]) -> TrialsLost:
    """Return which trials lost a worker, and those that are not tried again."""
    return TrialsLost(
        once=frozenset(name for lost in interruptions for name in lost.suspects),
        given_up={name: lost for lost in interruptions if lost.given_up for name in lost.suspects},
    )
