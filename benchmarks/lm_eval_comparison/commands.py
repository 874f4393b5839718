"""What is typed and set for the processes of a comparison."""

from __future__ import annotations

from pathlib import Path

from lm_eval_comparison.works import TRAINED, Job

from modeltest.start import python_command

BENCHMARKS = Path(__file__).resolve().parents[1]


def modeltest_command(job: Job, *, model: Path, data_dir: str, batch_size: int, output: Path) -> list[str]:
    """Return the command a user would type for a `job` of choices."""
    work = job.work
    words = ["accuracy", "--task", work.task, "--shots", str(work.shots), "--protocol", "lm-eval"]
    words += [*_engine_words(job), "--batch-size", str(batch_size), "--limit", str(job.questions)]
    words += [word for subject in work.subjects for word in ("--subject", subject)]
    words += ["--model", str(model), "--data-dir", data_dir, "--output", str(output)]
    return python_command("modeltest.cli", *words)


def bridge_command(
    job: Job, tasks: list[str], *, tasks_directory: Path, model: Path, batch_size: int, output: Path
) -> list[str]:
    """Return the command a user would type for tasks of lm-eval: its prompts, stop texts and lengths."""
    words = ["lm-eval", "--tasks", ",".join(tasks), "--include-path", str(tasks_directory), "--log-samples"]
    words += [*_engine_words(job), "--batch-size", str(batch_size)]
    words += ["--model", str(model), "--output", str(output)]
    return python_command("modeltest.cli", *words)


def environment(work_dir: Path) -> dict[str, str]:
    """Return the variables of every measured process: nothing is fetched."""
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work_dir / "datasets_cache"),
    }


def own_environment(work_dir: Path) -> dict[str, str]:
    """Return the variables of processes that are modules of the benchmarks."""
    return {**environment(work_dir), "PYTHONPATH": str(BENCHMARKS)}


def _engine_words(job: Job) -> tuple[str, ...]:
    words = ("--engine", "hf", "--dtype", job.dtype, "--device", "cpu")
    # Random weights are made once, in float32; trained ones are there in each dtype.
    return words if job.model == TRAINED or job.is_exact else (*words, "--allow-dtype-cast")
