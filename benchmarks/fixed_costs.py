"""Measures what a command costs beside loading its model: a tiny one, asked 24 questions, and its floor.

python benchmarks/fixed_costs.py --help
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from modeltest.demo import build_demo_model
from modeltest.machine.files import write_json
from modeltest.start import python_command

WORDS = ("sample_BoolQ", "8", "auto")
FLOOR = """
import sys
import torch, transformers
transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
transformers.AutoTokenizer.from_pretrained(sys.argv[1])
"""
WORKER_IMPORTS = "import modeltest.run.worker.worker"
REPORTS = ("accuracy", "junit", "metrics", "openmetrics", "summary_md")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process and those it started took."""

    wall_s: float
    processor_s: float


@click.command()
@click.option("--word", default="hf_fp32", show_default=True, help="Engine word: hf_fp32, pa_fp32.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all costs there.")
def main(word: str, rounds: int, json_path: Path | None) -> None:
    """Run the whole command and its floor in turn, and tell the ratios of the medians and where it goes.

    The floor imports torch and transformers and loads the same model and tokenizer in one process.
    """
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "demo"
        build_demo_model("llama", model)
        costs = _measured(_commands(word, model, Path(scratch) / "outputs"), rounds)
    for name, found in costs.items():
        wall_s, processor_s = _median(found, "wall_s"), _median(found, "processor_s")
        click.echo(f"{name:36} {wall_s:7.2f} s {processor_s:7.2f} s of the processor")
    for kind in ("wall_s", "processor_s"):
        ratio = _median(costs["command"], kind) / _median(costs["floor"], kind)
        click.echo(f"command over floor, {kind.removesuffix('_s')}: {ratio:.2f}")
    if json_path is not None:
        plain = {name: [[one.wall_s, one.processor_s] for one in found] for name, found in costs.items()}
        write_json(json_path, {"word": word, "costs": plain})


def _commands(word: str, model: Path, output: Path) -> dict[str, list[str]]:
    """Return by name what is measured in turn; the first makes the run of which later ones write reports."""
    whole = python_command("modeltest.cli", word, *WORDS, str(model), "1", "--output", str(output))
    subprocess.run(
        whole, check=True, capture_output=True
    )  # files are in the cache of the system from here on
    (run,) = output.iterdir()
    formats = [word for name in REPORTS for word in ("--format", name)]
    return {
        "command": whole,
        "floor": [sys.executable, "-c", FLOOR, str(model)],
        "supervisor: words, engine, plan": [*whole, "--dry-run"],
        "worker: imports of ours": [sys.executable, "-c", WORKER_IMPORTS],
        "reports without page and plots": python_command("modeltest.cli", "report", str(run), *formats),
        "all reports": python_command("modeltest.cli", "report", str(run)),
    }


def _measured(commands: dict[str, list[str]], rounds: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            costs[name].append(_cost(command))
            click.echo(f"round {number + 1}: {name} {costs[name][-1].wall_s:.2f} s", err=True)
    return costs


def _cost(command: list[str]) -> Cost:
    before, begin = _processor_s(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return Cost(time.perf_counter() - begin, _processor_s() - before)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _median(costs: list[Cost], kind: str) -> float:
    return median(getattr(cost, kind) for cost in costs)


if __name__ == "__main__":
    main()
