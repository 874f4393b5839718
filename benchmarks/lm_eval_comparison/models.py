"""Where the checkpoint of a job is; what is absent is made, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lm_eval_comparison.commands import own_environment
from lm_eval_comparison.processes import run_command
from lm_eval_comparison.shapes import SHAPES
from lm_eval_comparison.works import TRAINED, Job

from modeltest.start import python_command


@dataclass(frozen=True, slots=True)
class Models:
    """The folder of models, and where the trained ones are if they are there already."""

    work_dir: Path
    data_dir: str
    trained_dir: Path | None
    say: Callable[[str], None]

    def checkpoint(self, job: Job) -> Path:
        """Return the directory of the model of `job`.

        Raises: CommandFailed; FileNotFoundError when it is not where the user says.
        """
        if job.model == TRAINED:
            return self._trained(job.dtype)
        # Weights of float32: each side casts them to the dtype it is asked for.
        return prepare_checkpoint(job.model, work_dir=self.work_dir, data_dir=self.data_dir, say=self.say)

    def _trained(self, dtype: str) -> Path:
        if self.trained_dir is not None:
            given = self.trained_dir / dtype
            if not (given / "config.json").is_file():
                raise FileNotFoundError(
                    f"there is no checkpoint {given}; make it: "
                    f"modeltest demo-model {TRAINED} {given} --dtype {dtype}"
                )
            return given
        directory = self.work_dir / "models" / f"{TRAINED}-{dtype}"
        command = python_command("modeltest.cli", "demo-model", TRAINED, str(directory), "--dtype", dtype)
        described = f"{TRAINED}, trained, {dtype}"
        return _made(directory, described, command, work_dir=self.work_dir, say=self.say)


def prepare_checkpoint(name: str, *, work_dir: Path, data_dir: str, say: Callable[[str], None]) -> Path:
    """Return the directory of a model with random weights, which is made on the first run.

    Raises: CommandFailed.
    """
    shape = SHAPES[name]
    directory = work_dir / "models" / f"llama-{name}-{shape.fingerprint(data_dir)}"
    command = python_command("lm_eval_comparison.checkpoints", name, str(directory), data_dir)
    described = f"{name}, {shape.parameters / 1e6:.1f} million parameters"
    return _made(directory, described, command, work_dir=work_dir, say=say)


def _made(
    directory: Path, described: str, command: list[str], *, work_dir: Path, say: Callable[[str], None]
) -> Path:
    if not directory.exists():
        say(f"writing model {described}: {directory}")
        directory.parent.mkdir(parents=True, exist_ok=True)
        log = directory.with_name(f"{directory.name}.log")
        run_command(command, environment=own_environment(work_dir), log=log)
    return directory
