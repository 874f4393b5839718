"""A plug-in of vLLM for tests: it does to the steps of a worker and its ranks what a file says.

`plugged` gives the variables of a run whose workers load it, as vLLM loads every plug-in. The file is looked
at before each step, so that a test can write it in the middle of a run; without it nothing happens. What it
says, as JSON:

    hang            true: the step never returns, deaf to signals; the file goes, so that it happens once
    out_of_memory   a number: torch's allocator finds no memory for so many rows or more
    prefill_s       seconds to sleep before a step that feeds a prompt
    step_s          seconds to sleep before any other step
    load            true: there is no memory for the weights
"""

from __future__ import annotations

import ctypes
import functools
import json
import math
import os
import time
from pathlib import Path
from typing import Any

VARIABLE = "STEP_FAULTS"
NO_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 4398046511104 bytes. Error code 12 (Cannot allocate memory)"
)


def plugged(folder: Path, faults: Path) -> dict[str, str]:
    """Return the variables of a run that suffers what `faults` says; the plug-in is installed in `folder`."""
    information = folder / "step_faults-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: step-faults\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[vllm.general_plugins]\nstep_faults = step_faults:register\n"
    )
    (folder / "step_faults.py").write_text(Path(__file__).read_text())
    return {**os.environ, "PYTHONPATH": str(folder), VARIABLE: str(faults)}


def write(faults: Path, **said: Any) -> None:
    """Have the next step suffer what is `said`; the file is there at once as a whole."""
    scratch = faults.with_suffix(".new")
    scratch.write_text(json.dumps(said))
    scratch.replace(faults)


def register() -> None:
    """Put faults in front of what vLLM runs; vLLM calls this in each process, and may do so again."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    execute, load = GPUModelRunner.execute_model, CPUModelRunner.load_model
    if getattr(execute, "suffers", False):
        return

    @functools.wraps(execute)
    def suffering(self: Any, planned: Any, *given: Any, **named: Any) -> Any:
        suffer(len(planned.num_scheduled_tokens), is_prefill=bool(planned.scheduled_new_reqs))
        return execute(self, planned, *given, **named)

    @functools.wraps(load)
    def loading(self: Any, *given: Any, **named: Any) -> Any:
        if _said().get("load"):
            raise RuntimeError(NO_MEMORY)
        return load(self, *given, **named)

    suffering.suffers = True
    GPUModelRunner.execute_model = suffering
    CPUModelRunner.load_model = loading


def suffer(rows: int, *, is_prefill: bool) -> None:
    """Do what is said to a step of so many rows."""
    said = _said()
    time.sleep(said.get("prefill_s" if is_prefill else "step_s", 0))
    if rows >= said.get("out_of_memory", math.inf):
        raise RuntimeError(NO_MEMORY)
    if said.get("hang"):
        Path(os.environ[VARIABLE]).unlink()
        _hang()


def _hang() -> None:
    library, lock = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    for _ in range(2):  # who holds it already waits for ever, in compiled code
        library.pthread_mutex_lock(lock)


def _said() -> dict[str, Any]:
    try:
        found = json.loads(Path(os.environ[VARIABLE]).read_text())
    except FileNotFoundError:
        return {}
    assert isinstance(found, dict)
    return found
