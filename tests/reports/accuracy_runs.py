"""Accuracy results for the report tests: 8 questions of two subjects, one of them failed if wanted."""

from dataclasses import replace

from timed_runs import run_result

from modeltest.api import (
    AccuracySummary,
    Completion,
    DatasetInfo,
    RunResult,
    RunSpec,
    Sample,
    Score,
    TaskOptions,
    Verdict,
)
from modeltest.statistics import proportion

DATASET = DatasetInfo("ceval", "full", "/data/ceval", "a" * 64, official=True, records=8, subjects=2)


def accuracy_run(*, error: str | None = None, subjects: tuple[str, str] = ("law", "logic")) -> RunResult:
    """Law 3 of 3, logic 1 of 5; with `error`, question logic/0 failed with that text: INVALID."""
    first, second = subjects
    summary = AccuracySummary(
        micro=proportion(4, 8),
        macro=0.6,
        subjects={first: proportion(3, 3), second: proportion(1, 5)},
        categories={"Other": proportion(4, 8)},
        groups={},
        failed=0 if error is None else 1,
        no_answer=2,
        truncated=0,
        dropped_shots=0,
        cut_prompts=0,
        near_ties=("law/1",),
        near_tie_margin=0.01,
        prompts_sha256="b" * 64,
    )
    spec = RunSpec("pa_fp16", "full_CEval", "ceval", "gpt2", "W", options=TaskOptions(shots=5))
    result = replace(run_result(spec, summary=summary), dataset=DATASET, timing_s={"load": 2.0, "run": 10.5})
    if error is None:
        return result
    name = f"{second}/0"
    failed = Sample(Score(name, second, "Other", "A", error=error), Completion(name, error=error), "c" * 64)
    return replace(result, samples=[failed], verdict=Verdict.INVALID, reasons=("1 of 8 questions failed",))
