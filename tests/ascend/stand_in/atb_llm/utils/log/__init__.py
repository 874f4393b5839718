"""Logging of the stand-in."""

from atb_llm.utils.log.logging import logger, print_log

__all__ = ["logger", "print_log"]
