"""The result of a run as tables and lines of text."""

from modeltest.tables.headline import headline, title_of
from modeltest.tables.printing import (
    further_tables,
    print_result,
    print_rows,
    print_verdict,
    result_console,
    result_table,
)

__all__ = [
    "further_tables",
    "headline",
    "print_result",
    "print_rows",
    "print_verdict",
    "result_console",
    "result_table",
    "title_of",
]
