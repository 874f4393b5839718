"""lm-evaluation-harness as a task: what the supervisor needs to know of it, without importing it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from modeltest.api import (
    Capability,
    Engine,
    Evaluation,
    HarnessAnswers,
    HarnessSummary,
    Mode,
    PrerequisiteError,
    RunSpec,
)
from modeltest.installation import install_command
from modeltest.lm_eval.results import read_summary
from modeltest.lm_eval.samples import read_answers


class LmEval:
    """Runs tasks of lm-evaluation-harness; see `modeltest lm-eval --help`."""

    name = "lm_eval"
    title = "any task of lm-evaluation-harness: modeltest lm-eval"
    modes: tuple[Mode, ...] = ()
    goes_on = False

    def check(self, spec: RunSpec) -> None:
        """Refuse to run where lm-evaluation-harness is not installed."""
        if find_spec("lm_eval") is None:
            raise PrerequisiteError(f"lm-evaluation-harness is not installed: {install_command('lm-eval')}")

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return nothing: only the loaded tasks say what they ask for, and `prepare` checks that."""
        return frozenset()

    def environment(self, spec: RunSpec) -> Mapping[str, str]:
        """Let its datasets be fetched, unless the caller says otherwise: engines need no hub, it does."""
        return {"HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0")}

    def prepare(self, spec: RunSpec, engine: Engine) -> Evaluation:
        """Load the tasks; see `HarnessTask.prepare`."""
        from modeltest.lm_eval.evaluation import prepare

        return prepare(spec, engine)

    def summarize_files(self, directory: Path) -> HarnessSummary:
        """Return the numbers of its results file."""
        return read_summary(directory)

    def kept_answers(self, directory: Path) -> HarnessAnswers:
        """Return the answers in its samples files; see `KeepingAnswers.kept_answers`."""
        return read_answers(directory)
