"""The commands that run what options ask for: `modeltest accuracy`, `performance`, `lm-eval` and the like."""

from __future__ import annotations

import click

from modeltest.cli.execute import running
from modeltest.options.asked import COMMANDS

accuracy = running(COMMANDS["accuracy"])
performance = running(COMMANDS["performance"])
maxbs = running(COMMANDS["maxbs"])
precision = running(COMMANDS["precision"])
lm_eval = running(COMMANDS["lm-eval"])
generate = running(COMMANDS["generate"])
accept = running(COMMANDS["accept"])
# What a port is judged by is what the command is about: a word of its own, and no option.
accept.params = [
    click.Argument(["pack"], metavar="PACK") if parameter.name == "pack" else parameter
    for parameter in accept.params
]
