"""torch for files: tensors that are written and read on the host, with no device in play."""

from __future__ import annotations

import os
from types import ModuleType

_AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"


def import_torch() -> ModuleType:
    """Import torch and no device's package with it.

    torch imports torch_npu by itself where that is installed, and fails where CANN is missing.
    """
    before = os.environ.get(_AUTOLOAD)
    os.environ[_AUTOLOAD] = "0"
    try:
        import torch
    finally:
        if before is None:
            del os.environ[_AUTOLOAD]
        else:
            os.environ[_AUTOLOAD] = before
    return torch
