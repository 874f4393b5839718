"""One logger for the library; rank 0 alone speaks."""

import logging
from collections.abc import Callable

logger = logging.getLogger("atb_llm")


def print_log(rank: int, log: Callable[[str], None], message: str) -> None:
    """Log `message` on rank 0."""
    if rank != 0:
        return
    log(message)
