"""Comparisons of runs made by hand: one of each kind."""

from made_answers import sample
from made_runs import accuracy_result, performance_result, precision_result

from modeltest.api import Comparison, RunResult
from modeltest.compare.runs import compare_runs
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances

HOSTILE = "<script>alert(1)</script>|`x`\n# **bold** @you"


def compare(reference: RunResult, candidate: RunResult) -> Comparison:
    return compare_runs(
        [RunToCompare("A", reference)], [RunToCompare("B", candidate)], tolerances=Tolerances()
    )


def made_comparisons() -> dict[str, Comparison]:
    """Return a comparison of answers, of times and of outputs; the answers are hostile text."""
    return {
        "accuracy": compare(
            accuracy_result(
                [
                    sample("law/0", "yes", logprobs=(-0.1, -2)),
                    sample("art/0", "no"),
                    sample("art/1", HOSTILE, expected=HOSTILE),
                ]
            ),
            accuracy_result(
                [
                    sample("law/0", "no", logprobs=(-2, -0.1)),
                    sample("art/0", "no"),
                    sample("art/1", "no", expected=HOSTILE),
                ]
            ),
        ),
        "performance": compare(performance_result(), performance_result(14)),
        "precision": compare(
            precision_result(logprobs=(-1.0, -1.0, -1.0)),
            precision_result((5, 9, 7), logprobs=(-1.0, -2.0, -1.0)),
        ),
    }
