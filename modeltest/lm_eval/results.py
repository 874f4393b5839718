"""The results file of lm-evaluation-harness to our summary; needs nothing of its package."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modeltest.api import HarnessMetric, HarnessSummary, ModelTestError
from modeltest.plain.contracts import from_plain
from modeltest.plain.json_text import parse_published_json

RESULTS_FILE = "lm_eval_results.json"
HARNESS = "lm-eval"

_ERROR_SUFFIX = "_stderr"


def read_summary(directory: Path) -> HarnessSummary:
    """Return the numbers in the results file of `directory`.

    Raises: ModelTestError when there is none, or it is not one.
    """
    path = directory / RESULTS_FILE
    try:
        return summarize(parse_published_json(path.read_bytes()))
    except FileNotFoundError:
        raise ModelTestError(f"{path} is not there: the run did not come to its end") from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelTestError(f"{path} does not hold results of {HARNESS}: {problem!r}") from problem


def summarize(results: Mapping[str, Any]) -> HarnessSummary:
    """Return every metric of every task and group, in the order of `results`."""
    version = results.get("lm_eval_version")
    metrics = tuple(
        metric for task, values in results["results"].items() for metric in _metrics(task, values, results)
    )
    return HarnessSummary(HARNESS, _version(version), metrics)


def _metrics(task: str, values: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[HarnessMetric]:
    better = results.get("higher_is_better", {}).get(task, {})
    version = results.get("versions", {}).get(task)
    for key, value in values.items():
        # Metrics are called `name,filter`; every other key describes the task.
        name, comma, filter_name = key.partition(",")
        if not comma or name.endswith(_ERROR_SUFFIX):
            continue
        yield from_plain(
            HarnessMetric,
            {
                "task": task,
                "filter": filter_name,
                "metric": name,
                "value": _number(value),
                "standard_error": _number(values.get(f"{name}{_ERROR_SUFFIX},{filter_name}")),
                "higher_is_better": better.get(name),
                "shots": results.get("n-shot", {}).get(task),
                "questions": values.get("sample_len"),
                "version": _version(version),
            },
        )


def _version(value: object) -> str | None:
    """Return a version as text; lm-eval writes some as numbers.

    Raises: ValueError for a text that no file can hold.
    """
    if value is None:
        return None
    str(value).encode()
    return str(value)


def _number(value: object) -> float | None:
    """Return a finite number; "N/A" and infinity are no numbers to us."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    return None
