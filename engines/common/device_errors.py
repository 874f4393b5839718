"""Telling a device that failed from everything else that may go wrong in a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engines.common.device import is_out_of_memory
from modeltest.api import DeviceError, ModelTestError, OutOfMemory

_TYPES = ("AcceleratorError",)
_SIGNS = (
    "cuda error",
    "cublas_status",
    "cudnn_status",
    "device-side assert",
    "nccl error",
    "call acl api failed",
    "acl stream synchronize failed",
    "npu error",
    "npu function error",
    "hccl error",
)
"""What torch, torch_npu and their libraries say, in lower case, when a device or its driver fails."""


def is_device_error(problem: BaseException) -> bool:
    """Say whether `problem` means that this process can use its device no more; out of memory does not."""
    if not isinstance(problem, RuntimeError) or is_out_of_memory(problem):
        return False
    text = str(problem).lower()
    return type(problem).__name__ in _TYPES or any(sign in text for sign in _SIGNS)


@contextmanager
def naming_device_errors() -> Iterator[None]:
    """Turn an error of the device into a `DeviceError`: a run then goes on in a fresh process.

    Memory that ran out where no smaller batch is tried is an `OutOfMemory`, whoever says so.

    Raises: DeviceError, OutOfMemory.
    """
    try:
        yield
    except ModelTestError:
        raise
    except Exception as problem:
        text = " ".join(str(problem).split())[:400]
        if is_out_of_memory(problem):
            raise OutOfMemory(f"out of memory: {text}") from problem
        if not is_device_error(problem):
            raise
        raise DeviceError(text) from problem
