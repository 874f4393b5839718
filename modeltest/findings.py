"""What a reader should know of a result: the codes of all findings, and each in an English sentence. Pure.

A finding is decided on by its code and values; the sentence is made of them here, for terminal and pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from modeltest.api import Finding

JOURNAL_WITHOUT_DIGESTS = "journal_without_digests"


def sentences(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return each finding as a sentence; one that is not known here by its code and values."""
    return tuple(_SENTENCES.get(each.code, _by_its_values)(each) for each in findings)


def _by_its_values(finding: Finding) -> str:
    values = ", ".join(f"{name} {value}" for name, value in finding.values.items())
    return f"{finding.code}: {values}" if values else finding.code


def _journal_without_digests(_: Finding) -> str:
    return (
        "samples.jsonl was begun by a version that wrote no digests: its lines are checked against "
        "themselves alone, so not every change would be seen"
    )


_SENTENCES: Mapping[str, Callable[[Finding], str]] = {JOURNAL_WITHOUT_DIGESTS: _journal_without_digests}
