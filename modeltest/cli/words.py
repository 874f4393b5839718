"""`modeltest run WORDS`: the positional grammar of `run.sh`, and `--resume DIR`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from modeltest import registry
from modeltest.api import RunSpec, SpecError
from modeltest.cli.execute import dump, execution_of, execution_options, how, tell_all, typed
from modeltest.cli.resume import go_on
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse, usage
from modeltest.models.profiles import model_keys
from modeltest.options.accept import HowToJudge, judged_as, judging_of, judging_options
from modeltest.options.runs import run_fields, run_options
from modeltest.options.task_files import modes_with_file

_TASK_FILES = """\b
MODE may be a task file, TOML or Python, that no package brings (docs/task-file.md):
  run.sh pa_fp16 file:capitals.toml SHOTS BATCH MODEL WEIGHTS CHIPS
"""

_VARIABLES = """\b
Variables of MindIE that every timed run honours (docs/output.md):
  ATB_LLM_BENCHMARK_ENABLE=1  write the times of all measured trials to
  ATB_LLM_BENCHMARK_FILEPATH  (benchmark_result/benchmark.csv); one run at a time
  ATB_PROFILING_ENABLE=1      after all trials, write a profiler trace of each case into
  PROFILING_FILEPATH          (profiling); nothing that is measured is profiled
"""


@click.command(
    "run",
    # Words such as -1 look like options; the grammar itself refuses what it does not know.
    context_settings={"ignore_unknown_options": True},
    epilog=f"\b\n{usage(None)}\n\n{_TASK_FILES}\n{_VARIABLES}",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Go on with the run in DIR, whichever command began it; its words may be left out.",
)
@click.option(
    "--trust-remote-code",
    "is_trusted",
    is_flag=True,
    help="Run the Python code in the checkpoint. With --resume, of a run that does: say it again.",
)
@click.option(
    "--accept-distance",
    "accepted",
    type=float,
    metavar="X",
    help="With --resume, of a served model: its weights are the same if fixed prompts differ by X at most.",
)
@judging_options
@run_options
@execution_options
def run(
    words: tuple[str, ...], resume: Path | None, is_trusted: bool, accepted: float | None, **options: Any
) -> int:
    """Run what the WORDS of run.sh ask for, exactly as the predecessor's."""
    if not words and resume is None:
        click.echo(usage(None), err=True)
        sys.exit(2)
    context = click.get_current_context()
    _refuse_unknown_options(words, context)
    execution = execution_of(options)
    how_to_judge = judging_of(options)
    fields = run_fields(options)
    asked: RunSpec | None = None
    if words:
        asked = parse(
            words,
            modes=modes_with_file(all_modes(registry.declared_modes()), words),
            model_keys=model_keys(),
            engines=registry.engine_names(),
        )
        asked = replace(asked, trust_remote_code=asked.trust_remote_code or is_trusted, **fields)
        if asked.options.pack is not None or how_to_judge != HowToJudge():
            asked = judged_as(asked, how_to_judge)
    if resume is None:
        if accepted is not None:
            raise SpecError("--accept-distance is for a run that is gone on with: give --resume DIR too")
        assert asked is not None
        if execution.dry_run:
            return dump(asked)
        # Only here: the commands that run nothing stay quick.
        from modeltest.library.carrying_out import carry_out

        return tell_all(carry_out(asked, command=typed(), how=how(execution)))
    is_trusted = is_trusted or (asked is not None and asked.trust_remote_code)
    given = {
        name: value
        for name, value in fields.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return go_on(
        resume, asked=asked, options=given, execution=execution, is_trusted=is_trusted, accepted=accepted
    )


def _refuse_unknown_options(words: Sequence[str], context: click.Context) -> None:
    """Refuse what looks like an option and is none: as a word it would be refused for the wrong reason.

    Raises: click.NoSuchOption.
    """
    known = [name for parameter in context.command.params for name in parameter.opts if name[0] == "-"]
    for word in words:
        if re.match(r"--?[A-Za-z]", word):
            name = word.partition("=")[0]
            raise click.NoSuchOption(name, possibilities=get_close_matches(name, known), ctx=context)
