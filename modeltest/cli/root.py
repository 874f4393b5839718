"""The command group: known commands, and everything else taken as the words of `run.sh`."""

from __future__ import annotations

from importlib import import_module

import click

from modeltest.version import __version__

COMMANDS = {
    "run": "words:run",
    "quickstart": "quickstart:quickstart",
    "accuracy": "option_commands:accuracy",
    "performance": "option_commands:performance",
    "maxbs": "option_commands:maxbs",
    "precision": "option_commands:precision",
    "accept": "option_commands:accept",
    "lm-eval": "option_commands:lm_eval",
    "generate": "option_commands:generate",
    "suite": "suite:suite",
    "compare": "compare:compare",
    "calibrate": "calibrate:calibrate",
    "reference": "reference:reference",
    "certificate": "certificate:certificate",
    "locate": "locate:locate",
    "report": "show:report",
    "dashboard": "dashboard:dashboard",
    "list": "show:list_",
    "data": "data:data",
    "doctor": "doctor:doctor",
    "convert": "convert:convert",
    "demo-model": "demo:demo_model",
}
"""The modules of the commands, under `modeltest.cli`: only that of the command at hand is imported."""

EPILOG = """\b
The words of run.sh work as they always did:
  bash run.sh pa_fp16 full_BoolQ 1 gemma $weights 8
  bash run.sh pa_fp16 performance [[2048,2048]] 1 gemma $weights 8
`modeltest run --help` shows their grammar. A run that was stopped goes on with
  bash run.sh --resume outputs/RUN

Exit status: 0 the run is valid, 1 its verdict is INVALID, 2 wrong words or options, 3 the machine lacks
something, 4 dataset, 5 engine, 70 a defect of ModelTest, 130 interrupted, 128+N killed by signal N.
"""


class _WordsGroup(click.Group):
    """A group in which an unknown first word, or an option of `run`, begins the words of `run.sh`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"modeltest.cli.{module}"), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            return "run", self.get_command(ctx, "run"), args
        return super().resolve_command(ctx, args)


@click.group(cls=_WordsGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modeltest")
def root() -> None:
    """The acceptance test for a language model on an accelerator.

    Says whether a port answers as the reference does (accuracy), how fast it is, token by token
    (performance), and how large a batch fits a latency limit (maxbs), in files for people and dashboards.
    """
