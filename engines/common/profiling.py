"""Traces of what an engine computes, by the profiler of its device."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engines.common.device import synchronize
from modeltest.api import PrerequisiteError

LEVEL_VARIABLE = "PROFILING_LEVEL"
"""How much torch_npu's profiler records: the name of one of its levels."""

_DEFAULT_LEVEL = "Level0"


def traced(device: str, work: Callable[[], None], folder: Path, name: str) -> Path:
    """Do `work` under the profiler of `device` and return the trace; see `modeltest.api.Traceable`.

    On an npu it is the folder that torch_npu's profiler writes. Where that profiler cannot be imported,
    torch's own records what the host did.
    """
    profiler = _npu_profiler() if device == "npu" else None
    if profiler is not None:
        return _traced_on_npu(profiler, work, folder / name)
    return _traced_by_torch(device, work, folder / f"{name}.json")


def _traced_by_torch(device: str, work: Callable[[], None], path: Path) -> Path:
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, record_shapes=True) as recorded:
        work()
        synchronize(device)
    # torch fails silently where it cannot write, and its file grows slowly: nobody is to find half of it.
    scratch = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        recorded.export_chrome_trace(str(scratch))
        scratch.replace(path)
    except (OSError, RuntimeError) as problem:
        with suppress(OSError):
            scratch.unlink()
        raise PrerequisiteError(f"cannot write {path}: {problem}") from problem
    return path


def _traced_on_npu(profiler: Any, work: Callable[[], None], folder: Path) -> Path:
    level = getattr(profiler.ProfilerLevel, os.environ.get(LEVEL_VARIABLE) or _DEFAULT_LEVEL)
    settings = profiler._ExperimentalConfig(
        profiler_level=level, aic_metrics=profiler.AiCMetrics.PipeUtilization
    )
    with profiler.profile(
        activities=[profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.NPU],
        on_trace_ready=profiler.tensorboard_trace_handler(str(folder)),
        experimental_config=settings,
    ):
        work()
        synchronize("npu")
    return folder


def _npu_profiler() -> Any:
    try:
        from torch_npu import profiler
    except Exception:  # a wheel without CANN raises ImportError, RuntimeError or OSError
        return None
    return profiler
