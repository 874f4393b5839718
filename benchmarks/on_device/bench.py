"""What all steps share: where files go, and how a part is run as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fidelity.rounds import engine_environment
from lm_eval_comparison.commands import BENCHMARKS, environment
from lm_eval_comparison.processes import CommandFailed, Finished, run_command
from on_device.book import Book
from on_device.sizes import DEVICE_SHAPES, Sized, misfit

from modeltest.start import python_command


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    device: str
    quick: bool
    data_dir: str | None
    work_dir: Path
    sizes: Sequence[Sized]
    """The models to measure, small ones first."""

    limit_s: float
    """Of each process."""


class Bench:
    """Runs parts of steps and notes what they find."""

    def __init__(self, settings: Settings, folder: Path, book: Book) -> None:
        self.settings = settings
        self.folder = folder
        self.book = book
        self.device_bytes: int | None = None
        """What is free on the device; `None` until the step `machine` has told."""

    def run(self, step: str, part: str, module: str, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Run `module` on an order and return what it found; `None`, and a note, when it failed."""
        folder = self.part_folder(step, part)
        path = folder / "order.json"
        path.write_text(json.dumps({**order, "directory": str(folder)}, indent=2) + "\n", encoding="utf-8")
        try:
            finished = self.finish(python_command(module, str(path)), folder)
            found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except (CommandFailed, OSError, ValueError) as problem:
            self.book.failed(step, part, str(problem))
            return None
        return {**found, "wall_s": finished.wall_s, "peak_host_bytes": finished.peak_bytes}

    def finish(self, command: Sequence[str], folder: Path, own: Mapping[str, str] | None = None) -> Finished:
        """Run a command to its end, its output in `folder`.

        Raises: CommandFailed.
        """
        variables = {
            **environment(self.settings.work_dir),
            **engine_environment(),
            "PYTHONPATH": _with_benchmarks(os.environ.get("PYTHONPATH", "")),
            **(own or {}),
        }
        return run_command(
            command,
            environment=variables,
            log=folder / "log.txt",
            folder=folder,
            limit_s=self.settings.limit_s,
        )

    def part_path(self, step: str, part: str) -> Path:
        """Return where the files of a part are."""
        return self.folder / step / part.replace(" ", "-").replace(",", "")

    def part_folder(self, step: str, part: str) -> Path:
        """Return a new folder for the files of a part."""
        folder = self.part_path(step, part)
        folder.mkdir(parents=True)
        return folder

    def checkpoint(self, step: str, sized: Sized, *, copies: int) -> Path | None:
        """Return the model, which is written on the first call; `None`, and a note, where it cannot be."""
        settings = self.settings
        mark = DEVICE_SHAPES[sized.shape].fingerprint(settings.device, settings.data_dir or "sample")
        models = settings.work_dir / "models"
        directory = models / f"llama-{sized.name}-{mark}"
        models.mkdir(parents=True, exist_ok=True)
        disk_bytes = None if directory.exists() else shutil.disk_usage(models).free
        if self.device_bytes is not None:
            reason = misfit(sized, copies=copies, device_bytes=self.device_bytes, disk_bytes=disk_bytes)
            if reason:
                self.book.skipped(step, sized.name, reason)
                return None
        if directory.exists():
            return directory
        part = f"{sized.name} checkpoint"
        order = {
            "shape": sized.shape,
            "dtype": sized.dtype,
            "device": settings.device,
            "data_dir": settings.data_dir,
            "checkpoint": str(directory),
        }
        written = self.run(step, part, "on_device.checkpoint_side", order)
        if written is None:
            return None
        self.book.ran(step, part, written)
        return directory


def _with_benchmarks(paths: str) -> str:
    return os.pathsep.join([str(BENCHMARKS), *([paths] if paths else [])])
