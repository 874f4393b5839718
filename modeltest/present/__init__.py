"""What is shown of each kind of result, whoever shows it: console, Markdown, JUnit, pages, metrics.

A module of this package whose name is that of a kind has its `Presentation`; nothing else lists them.
"""

from modeltest.present.flat_metrics import flat_metrics
from modeltest.present.kinds import is_timed, outcome_of, presentation_of, timed_cases
from modeltest.present.presentation import (
    Check,
    Column,
    Estimate,
    Level,
    Outcome,
    Phrase,
    Presentation,
    Row,
    Said,
)

__all__ = [
    "Check",
    "Column",
    "Estimate",
    "Level",
    "Outcome",
    "Phrase",
    "Presentation",
    "Row",
    "Said",
    "flat_metrics",
    "is_timed",
    "outcome_of",
    "presentation_of",
    "timed_cases",
]
