"""The max-batch search: the largest batch size whose latency meets a limit. Pure; the caller measures.

`search_max_batch` asks for trials and is sent readings. What they prove is in an `Evidence`, and every
decision is computed from it alone: equal readings give equal questions, so that a journal can be replayed.
"""

from modeltest.search.evidence import Evidence
from modeltest.search.max_batch import search_max_batch
from modeltest.search.outcome import SearchOutcome, conclude
from modeltest.search.trial_plan import FULL_EFFORT, QUICK_EFFORT, Ask, Effort, Reading, SearchRange

__all__ = [
    "FULL_EFFORT",
    "QUICK_EFFORT",
    "Ask",
    "Effort",
    "Evidence",
    "Reading",
    "SearchOutcome",
    "SearchRange",
    "conclude",
    "search_max_batch",
]
