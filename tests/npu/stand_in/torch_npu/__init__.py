"""A stand-in for torch_npu: the device `npu` of torch, `torch.npu` and the process group `hccl`, on the host.

Only for tests: what is computed is computed by the cpu. Everything an engine can notice is torch's own or
behaves as torch_npu 2.13 does: a device of its own type, its memory and when that runs out, events, seeds,
visible devices, collective operations that take tensors of the device alone.

    STAND_IN_NPU_LIBRARY     the built device.cpp (tests/npu/torch_npu_places.py)
    STAND_IN_NPU_DEVICES     how many devices the machine has [1]
    STAND_IN_NPU_MEMORY_MB   memory of each [1024]
    STAND_IN_NPU_LARGEST_BLOCK_KB  the largest block of it that is ever free, as of memory in pieces [all]
    STAND_IN_NPU_NAME        their name [Ascend910B4]; a 310P knows no bfloat16
    STAND_IN_NPU_CALLS       file to which each process appends, at its end, what was called how often
"""

import os

import torch

torch.ops.load_library(os.environ["STAND_IN_NPU_LIBRARY"])
torch.utils.rename_privateuse1_backend("npu")

from torch_npu import npu  # noqa: E402 - the device must be there first

npu.start()
torch._register_device_module("npu", npu)
torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)

from torch_npu import hccl  # noqa: E402

hccl.register()


def _autoload() -> None:
    """Torch calls it when it is imported (entry point `torch.backends`): importing this package is enough."""


def npu_fusion_attention(*_arguments: object, **_named: object) -> None:
    """Stand for the fused attention that transformers imports for `flash_attention_2`, which nobody asks for.

    Raises: NotImplementedError.
    """
    raise NotImplementedError("flash_attention_2 is not there on the stand-in")
