"""Importing the packages of reports while the supervisor waits for the model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from modeltest import registry
from modeltest.api import AccuracyTask, Preparing, Task


@contextmanager
def importing_for_reports(task: Task) -> Iterator[None]:
    """Import what the reports of a run of `task` need in a thread, which has ended when this has.

    Plots alone need a second, which would come after the last answer. A run that takes times keeps its
    machine quiet instead. Whatever fails here fails again, and is told, when the report is written.
    """
    if not isinstance(task, AccuracyTask):
        yield
        return
    thread = threading.Thread(target=_import_all)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # Python cannot end in the middle of an import of a library in C++


def _import_all() -> None:
    with suppress(Exception, SystemExit):
        for report in registry.reports():
            if isinstance(report, Preparing):
                report.prepare()
