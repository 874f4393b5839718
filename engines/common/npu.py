"""torch_npu: imported for a run on an npu, and kept out of every other run.

Where its wheel is installed without CANN, or before CANN's `set_env.sh` was sourced, importing it fails, and
so does whoever imports it: torch by itself (entry point `torch.backends`), and transformers to see whether it
is there. Where it works, transformers treats masks on the cpu as if they were on an npu.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from modeltest.api import PrerequisiteError

AUTOLOAD_OFF = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
"""Set before torch is imported, lets it import no other package by itself."""

VISIBLE_DEVICES = "ASCEND_RT_VISIBLE_DEVICES"


def obstacle() -> str | None:
    """Import torch_npu and return why no npu can be used, or `None`."""
    if not is_installed():
        return "torch_npu is not installed"
    try:
        import torch
        import torch_npu  # noqa: F401 - registers torch.npu

        count: int = torch.npu.device_count()  # type: ignore[attr-defined]
        is_usable = bool(torch.npu.is_available())  # type: ignore[attr-defined]
    except Exception as problem:  # ImportError, RuntimeError or OSError, and whatever another version raises
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        return (
            f"torch_npu {_version('torch_npu')} cannot be imported beside torch {_version('torch')} "
            f"({reason:.300}): source set_env.sh of CANN, and see `modeltest doctor --ascend`"
        )
    if count == 0 or not is_usable:
        return _why_none_is_visible(os.environ.get(VISIBLE_DEVICES))
    return None


def prepare() -> None:
    """Make ready for prompts of any length: without this some chips compile every operator for each shape."""
    import torch

    torch.npu.set_compile_mode(jit_compile=False)  # type: ignore[attr-defined]


def keep_out() -> None:
    """Let nothing in this process find torch_npu, unless it is imported already."""
    if sys.modules.get("torch_npu") is None:
        # What `find_spec` takes for a package that is not there.
        sys.modules["torch_npu"] = None  # type: ignore[assignment]


def is_installed() -> bool:
    """Say whether torch_npu is there to be imported; that may fail all the same."""
    return sys.modules.get("torch_npu") is not None or find_spec("torch_npu") is not None


def refuse_dtype(dtype: str) -> None:
    """Refuse a dtype that the chip does not compute.

    Raises: PrerequisiteError.
    """
    import torch

    npu = torch.npu  # type: ignore[attr-defined]
    if dtype == "bfloat16" and not npu.is_bf16_supported():
        name = npu.get_device_name(npu.current_device())
        raise PrerequisiteError(
            f"{name} does not compute bfloat16; use a float16 word, such as pa_fp16 or hf_fp16"
        )


def _why_none_is_visible(shown: str | None) -> str:
    if shown is None:
        return "torch_npu counts no device: see `npu-smi info`"
    try:
        numbers = [int(part) for part in shown.split(",")]
    except ValueError:
        return f"{VISIBLE_DEVICES}={shown} is not a list of device numbers, such as 0,1"
    if numbers != sorted(set(numbers)):
        wanted = ",".join(map(str, sorted(set(numbers))))
        return f"{VISIBLE_DEVICES}={shown} does not ascend, so that torch_npu counts no device: give {wanted}"
    return f"torch_npu counts no device with {VISIBLE_DEVICES}={shown}: see `npu-smi info`"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"
