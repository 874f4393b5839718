"""`comparison.html`: a comparison as one page that opens offline."""

from __future__ import annotations

from modeltest.api import Comparison, Decision, GateOutcome
from reports.page import render

SHOWN = 1000
"""Rows of flips and of outputs; the JSON has all of them."""

_TONES = {
    GateOutcome.PASS.value: "PASS",
    GateOutcome.FAIL.value: "FAIL",
    GateOutcome.INCONCLUSIVE.value: "NOISY",
    Decision.ACCEPT.value: "PASS",
    Decision.REJECT.value: "FAIL",
    Decision.UNDECIDED.value: "NOISY",
}


class ComparisonHtml:
    """Renders `comparison.html`; its template is `page/templates/comparison.html`."""

    name = "html"
    file_name = "comparison.html"

    def render(self, comparison: Comparison) -> str:
        """Return the comparison as a page.

        Raises: MissingExtra without jinja2.
        """
        accuracy = comparison.accuracy
        subjects = (
            sorted(accuracy.subjects.items(), key=lambda item: item[1].difference or 0.0)
            if (accuracy)
            else []
        )
        outputs = comparison.outputs or (accuracy.outputs if accuracy else None)
        least, most = _ratio_scale(comparison)
        return render(
            "comparison",
            {
                "comparison": comparison,
                "tones": _TONES,
                "subjects": subjects,
                "flips": accuracy.flips[:SHOWN] if accuracy else (),
                "outputs": outputs,
                "divergent": outputs.divergent[:SHOWN] if outputs else (),
                "scale": _accuracy_scale(comparison),
                "ratio_least": least,
                "ratio_most": most,
            },
        )


def _accuracy_scale(comparison: Comparison) -> float:
    """Return how far the scale of the difference goes to either side: past the whole interval."""
    interval = comparison.accuracy.overall.interval if comparison.accuracy else None
    if interval is None:
        return 1.0
    return min(1.0, 1.2 * max(abs(interval.low), abs(interval.high)))


def _ratio_scale(comparison: Comparison) -> tuple[float, float]:
    """Return the ends of the scale of ratios: with 1 and every interval in it."""
    intervals = [each.ratio_interval for each in comparison.performance if each.ratio_interval]
    return (
        min(0.9, *(each.low for each in intervals)) if intervals else 0.9,
        max(1.1, *(each.high for each in intervals)) if intervals else 1.1,
    )
