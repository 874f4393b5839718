"""The result of a run as tables and lines of text."""

from modeltest.tables.headline import headline, title_of
from modeltest.tables.printing import (
    print_result,
    print_rows,
    print_verdict,
    probe_table,
    result_console,
    result_table,
)

__all__ = [
    "headline",
    "print_result",
    "print_rows",
    "print_verdict",
    "probe_table",
    "result_console",
    "result_table",
    "title_of",
]
