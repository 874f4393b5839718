"""The commands that run what options ask for: `modeltest accuracy`, `performance`, `lm-eval` and the like."""

from __future__ import annotations

from modeltest.cli.execute import running
from modeltest.options.asked import COMMANDS

accuracy = running(COMMANDS["accuracy"])
performance = running(COMMANDS["performance"])
maxbs = running(COMMANDS["maxbs"])
precision = running(COMMANDS["precision"])
lm_eval = running(COMMANDS["lm-eval"])
generate = running(COMMANDS["generate"])
