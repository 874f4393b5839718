import pytest

from engines.common.device_errors import is_device_error, naming_device_errors
from modeltest.api import DeviceError, EngineError, OutOfMemory


class AcceleratorError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("call aclnnMatmul failed, the NPU function error: call acl api failed"),
        AcceleratorError("an error that has no name yet"),
    ],
)
def test_a_failing_device_is_named(problem):
    assert is_device_error(problem)
    with pytest.raises(DeviceError, match=str(problem)[:20]), naming_device_errors():
        raise problem


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("shape '[2, 3]' is invalid for input of size 5"),
        ValueError("CUDA error"),
        EngineError("split a timed batch"),
        OutOfMemory("out of memory with 2 rows"),
    ],
)
def test_everything_else_stays_what_it_is(problem):
    assert not is_device_error(problem)
    with pytest.raises(type(problem)) as caught, naming_device_errors():
        raise problem
    assert caught.value is problem


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_is_no_defect_wherever_it_did(problem):
    assert not is_device_error(problem)
    with pytest.raises(OutOfMemory, match=f"^out of memory: {problem}"), naming_device_errors():
        raise problem
