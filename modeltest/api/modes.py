"""Mode words of `run.sh` with the words that follow each: those that everybody knows are declared here alone.

Source: MindIE-LLM tests/modeltest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Argument(str, Enum):
    """A word that follows a mode in the `run.sh` grammar."""

    SHOTS = "shots"
    BATCH = "batch"
    CASES = "cases"
    RANGES = "ranges"
    LIMIT_MS = "limit_ms"
    CONTEXT = "context"
    PROMPT = "prompt"
    PACK = "pack"
    """A file of a reference: questions, and the answers by which a port is judged."""

    PREFILL = "prefill"
    """The optional words of `performance`: prefill batch, `prefill_length`, `dataset`."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode word of the `run.sh` grammar, the task behind it and the words that follow it."""

    word: str
    task: str
    split: str
    arguments: tuple[Argument, ...]


_BATCH = (Argument.BATCH,)
_SHOTS = (Argument.SHOTS, Argument.BATCH)
_SINGLE = (Argument.CASES, Argument.PROMPT, Argument.BATCH)

PREDECESSOR_MODES: tuple[Mode, ...] = (
    Mode("performance", "performance", "", (Argument.CASES, Argument.BATCH, Argument.PREFILL)),
    Mode("performance_maxbs", "performance_maxbs", "", (Argument.CASES, Argument.RANGES, Argument.LIMIT_MS)),
    Mode("performance_single", "performance_single", "", _SINGLE),
    Mode("precision_single", "precision_single", "", _SINGLE),
    Mode("full_BoolQ", "boolq", "full", _BATCH),
    Mode("full_CEval", "ceval", "full", _SHOTS),
    Mode("full_MMLU", "mmlu", "full", _SHOTS),
    Mode("full_CMMLU", "cmmlu", "full", _SHOTS),
    Mode("full_GSM8K", "gsm8k", "full", _BATCH),
    Mode("full_TruthfulQA", "truthfulqa", "full", _BATCH),
    Mode("full_GPQA", "gpqa", "full", _BATCH),
    Mode("full_AIME2024", "aime2024", "full", _BATCH),
    Mode("full_HumanEval", "humaneval", "full", _BATCH),
    Mode("full_HumanEval_X", "humaneval_x", "full", _BATCH),
    Mode("full_LongBench", "longbench", "full", _BATCH),
    Mode("full_LongBench-E", "longbench_e", "full", _BATCH),
    Mode("full_NeedleBench", "needlebench", "full", (Argument.CONTEXT, Argument.BATCH)),
    Mode("simplified_GSM8K", "gsm8k", "simplified", _BATCH),
    Mode("simplified_TruthfulQA", "truthfulqa", "simplified", _BATCH),
    Mode("edge_BoolQ", "boolq", "edge", _BATCH),
    Mode("edge_GSM8K", "gsm8k", "edge", _BATCH),
    Mode("sample_BoolQ", "boolq", "sample", _BATCH),
    Mode("sample_CEval", "ceval", "sample", _SHOTS),
    Mode("sample_GSM8K", "gsm8k", "sample", _BATCH),
    Mode("sample_MMLU", "mmlu", "sample", _SHOTS),
)
"""Every mode word of the predecessor's `run.sh`, and the `sample_` words over the bundled samples."""


def modes_named(*words: str) -> tuple[Mode, ...]:
    """Return the modes of these words: what a task declares that serves words of the predecessor.

    Raises: KeyError for a word that the predecessor does not have.
    """
    known = {mode.word: mode for mode in PREDECESSOR_MODES}
    return tuple(known[word] for word in words)


def mode_of_task_file(word: str, task: str) -> Mode:
    """Return the mode called `word` of the task file `task`: its name begins with `file:`."""
    return Mode(word, task, "full", _SHOTS)


def modes_of_word(word: str, *, task: str, takes_shots: bool) -> tuple[Mode, ...]:
    """Return the modes `full_WORD` and `sample_WORD` of a task, followed by BATCH, with SHOTS before it."""
    arguments = _SHOTS if takes_shots else _BATCH
    return tuple(Mode(f"{split}_{word}", task, split, arguments) for split in ("full", "sample"))
