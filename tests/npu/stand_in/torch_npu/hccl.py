"""The process group `hccl` of the stand-in: gloo, for tensors of the device alone; HCCL takes no others."""

import torch
import torch.distributed as dist


def register():
    """Make `hccl` known as the backend of npu."""
    dist.Backend.register_backend("hccl", HcclGroup, devices=["npu"])


class HcclGroup(dist.ProcessGroup):
    """Carries tensors of the device from rank to rank by way of the host."""

    def __init__(self, store, rank, size, timeout):
        super().__init__(rank, size)
        self._gloo = dist.ProcessGroupGloo(store, rank, size, timeout)
        self._name = ""

    def getBackendName(self):
        return "hccl"

    # torch keeps the name in the backends of a group, of which one written in Python has none.
    def _set_group_name(self, name):
        self._name = name

    @property
    def group_name(self):
        return self._name

    def allreduce(self, tensors, options):
        hosts = _on_host(tensors)
        work = self._gloo.allreduce(hosts, options)
        work.wait()
        _back(hosts, tensors)
        return work

    def broadcast(self, tensors, options):
        hosts = _on_host(tensors)
        work = self._gloo.broadcast(hosts, options)
        work.wait()
        _back(hosts, tensors)
        return work

    def allgather(self, outputs, inputs, options):
        hosts = [_on_host(tensors) for tensors in outputs]
        work = self._gloo.allgather(hosts, _on_host(inputs), options)
        work.wait()
        for host, tensors in zip(hosts, outputs, strict=True):
            _back(host, tensors)
        return work

    def barrier(self, options):
        work = self._gloo.barrier(options)
        work.wait()
        return work

    def shutdown(self):
        self._gloo = None

    def abort(self):
        self._gloo = None


def _on_host(tensors):
    for tensor in tensors:
        if tensor.device.type != "npu":
            raise RuntimeError(
                f"No backend type associated with device type {tensor.device.type}: HCCL takes npu"
            )
    return [tensor.cpu() for tensor in tensors]


def _back(hosts, tensors):
    with torch.no_grad():
        for host, tensor in zip(hosts, tensors, strict=True):
            tensor.copy_(host)
