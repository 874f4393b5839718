"""ModelTest: the acceptance test for a language model on an accelerator.

Its Python API, described in `docs/python-api.md`: what stands in `__all__`. Each name is imported when it is
first asked for, so that `import modeltest` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeltest.version import __version__

if TYPE_CHECKING:
    from modeltest.api.errors import ModelTestError
    from modeltest.compare.tolerances import Tolerances
    from modeltest.library.bisecting import locate_by_bisection
    from modeltest.library.calibration_file import read_calibration
    from modeltest.library.certificates import verify_certificate
    from modeltest.library.comparing import compare_runs
    from modeltest.library.evaluating import evaluate, spec_of
    from modeltest.library.interrupts import RunInterrupted
    from modeltest.library.references import make_reference, read_reference
    from modeltest.library.runs import Run, load_run
    from modeltest.library.suites import Suite, run_suite

__all__ = [
    "ModelTestError",
    "Run",
    "RunInterrupted",
    "Suite",
    "Tolerances",
    "__version__",
    "compare_runs",
    "evaluate",
    "load_run",
    "locate_by_bisection",
    "make_reference",
    "read_calibration",
    "read_reference",
    "run_suite",
    "spec_of",
    "verify_certificate",
]

_HOMES = {
    "ModelTestError": "modeltest.api.errors",
    "Run": "modeltest.library.runs",
    "RunInterrupted": "modeltest.library.interrupts",
    "Suite": "modeltest.library.suites",
    "Tolerances": "modeltest.compare.tolerances",
    "compare_runs": "modeltest.library.comparing",
    "evaluate": "modeltest.library.evaluating",
    "load_run": "modeltest.library.runs",
    "locate_by_bisection": "modeltest.library.bisecting",
    "make_reference": "modeltest.library.references",
    "read_calibration": "modeltest.library.calibration_file",
    "read_reference": "modeltest.library.references",
    "run_suite": "modeltest.library.suites",
    "spec_of": "modeltest.library.evaluating",
    "verify_certificate": "modeltest.library.certificates",
}
"""The module of each public name."""


def __getattr__(name: str) -> object:
    """Import the public name that is asked for (PEP 562).

    Raises: AttributeError.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
