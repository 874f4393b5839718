"""What the device and its software are. A process of its own, `machine_side ORDER.json`."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from typing import Any

from lm_eval_comparison import machine
from on_device.orders import serve

PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "tokenizers", "pytest", "lm_eval")


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Return name and memory of the device, and the versions of what computes on it."""
    device = order["device"]
    described = _cpu() if device == "cpu" else _accelerator(device)
    return {**described, "host": machine.describe(), "packages": _versions()}


def _accelerator(device: str) -> dict[str, Any]:
    import torch

    module = getattr(torch, device, None)
    if module is None or not module.is_available():
        raise SystemExit(f"torch {torch.__version__} finds no device {device} here")
    free, total = module.mem_get_info()
    module.synchronize()  # a driver that is too old is heard here and not in the middle of a measurement
    return {
        "device": module.get_device_name(0),
        "devices": module.device_count(),
        "memory_bytes": total,
        "free_bytes": free,
        "driver": _driver() if device == "cuda" else None,
        "cuda": torch.version.cuda,
        "capability": list(module.get_device_capability(0)) if device == "cuda" else None,
        "bfloat16": bool(module.is_bf16_supported()) if device == "cuda" else None,
    }


def _cpu() -> dict[str, Any]:
    pages = os.sysconf("SC_PAGE_SIZE")
    return {
        "device": "cpu",
        "memory_bytes": pages * os.sysconf("SC_PHYS_PAGES"),
        "free_bytes": pages * os.sysconf("SC_AVPHYS_PAGES"),
    }


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None  # a container may have the driver without its tool
    return done.stdout.splitlines()[0].strip() if done.stdout else None


def _versions() -> dict[str, str | None]:
    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {name: version(name) for name in PACKAGES}


def main(arguments: list[str]) -> None:
    """Write what was found."""
    serve(arguments, measure)
