"""`comparison.json`: everything a comparison found, for programs."""

from __future__ import annotations

import json

from modeltest.api import Comparison
from modeltest.plain.contracts import to_plain

FORMAT_VERSION = 2


class ComparisonJson:
    """Renders `comparison.json`; `modeltest/schemas/comparison.schema.json` describes it."""

    name = "json"
    file_name = "comparison.json"

    def render(self, comparison: Comparison) -> str:
        """Return the comparison as indented JSON."""
        content = {"format_version": FORMAT_VERSION, **to_plain(comparison)}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
