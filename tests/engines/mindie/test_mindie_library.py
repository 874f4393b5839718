import pytest

from engines.mindie.library import errors_as_ours, means_out_of_memory, plain_ids, with_ends
from modeltest.api import DeviceError, EngineError, OutOfMemory, SpecError


class OutOfMemoryError(RuntimeError):
    """As torch calls it, from 2.6 on."""


def _caused(problem, cause):
    problem.__cause__ = cause
    return problem


@pytest.mark.parametrize(
    "problem",
    [
        OutOfMemoryError("NPU out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("Device out of memory (OOM)."),
        RuntimeError("memory request preemptively rejected"),
        RuntimeError("NPUWorkspaceAllocator tried to allocate 2.00 GiB"),
        MemoryError(),
        _caused(RuntimeError("forward failed"), OutOfMemoryError("NPU out of memory")),
        _caused(ValueError("bad"), _caused(RuntimeError("forward failed"), OutOfMemoryError("NPU"))),
    ],
)
def test_memory_that_ran_out_is_seen_through_its_disguises(problem):
    assert means_out_of_memory(problem)
    with pytest.raises(OutOfMemory, match="out of memory, running"), errors_as_ours("running"):
        raise problem


@pytest.mark.parametrize(
    "problem", [RuntimeError("shape mismatch"), ValueError("out of memory, need block:3"), KeyError("x")]
)
def test_other_failures_are_no_lack_of_memory(problem):
    assert not means_out_of_memory(problem)
    with pytest.raises(EngineError, match="running: ") as raised, errors_as_ours("running"):
        raise problem
    assert not isinstance(raised.value, OutOfMemory)


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("call aclnnMatmul failed, the NPU function error: call acl api failed"),
        _caused(ValueError("forward failed"), RuntimeError("HCCL error: 5")),
    ],
)
def test_a_device_that_failed_is_told_apart_for_another_process_may_go_on(problem):
    with pytest.raises(DeviceError, match="running: "), errors_as_ours("running"):
        raise problem


def test_a_cache_with_too_few_blocks_is_told_apart_from_memory():
    problem = ValueError("req: 1 out of memory, need block:3 is more than free block:2")
    with (
        pytest.raises(
            EngineError,
            match="the KV cache has too few blocks for what was sent, running: ValueError",
        ),
        errors_as_ours("running"),
    ):
        raise problem


def test_our_own_errors_pass_as_they_are():
    with pytest.raises(SpecError, match=r"^as it is$"), errors_as_ours("running"):
        raise SpecError("as it is")


def test_ends_of_text_of_every_form_are_numbers():
    assert plain_ids(None) == ()
    assert plain_ids(2) == (2,)
    assert plain_ids([2, 3]) == (2, 3)
    assert plain_ids([[2], [3, 4]]) == (2, 3, 4)


def test_ends_of_text_are_added_in_the_form_that_was_found():
    assert with_ends(2, {2}) == 2
    assert with_ends(2, {7, 5}) == [2, 5, 7]
    assert with_ends([2, 3], {7}) == [2, 3, 7]
    assert with_ends([[2], [3, 4]], {7}) == [[2], [3, 4], [7]]
    assert with_ends(None, {7}) == [7]
