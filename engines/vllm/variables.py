"""The variables of a worker that runs vLLM."""

from __future__ import annotations

import os
from collections.abc import Mapping

from engines.common.npu import AUTOLOAD_OFF
from engines.vllm.arguments import compiles
from engines.vllm.options import Options
from modeltest.api import RunSpec

_ALWAYS: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine core is in this process, and stepped by this engine
    # vLLM counts the last new token, which is never fed: room for one more lets prompts be as long as ever.
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
    "VLLM_LOGGING_COLOR": "0",
    "VLLM_HOST_IP": "127.0.0.1",  # ranks of one machine talk over no other interface
}


def variables(spec: RunSpec, device: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what to set before vLLM is imported, for a build that is for `device`.

    `environment` is what is set already.
    """
    found = dict(_ALWAYS)
    if device != "npu":
        found |= AUTOLOAD_OFF
    if device == "cpu":
        found["VLLM_TARGET_DEVICE"] = "cpu"
        if not compiles(spec, device, Options.parse(spec.engine_options)):
            # vLLM compiles small functions of its own even then, for longer than most accuracy runs take.
            found["TORCHDYNAMO_DISABLE"] = "1"
        if spec.world_size > 1:
            found |= _threads(spec.world_size, environment)
    if not spec.cases:
        found["VLLM_COMPUTE_NANS_IN_LOGITS"] = "1"
    return found


def _threads(ranks: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return how ranks share the processors of this machine, unless that is set.

    vLLM by itself gives each rank a memory node of its own, and refuses more ranks than there are.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(max(1, cpus // ranks))}
    return {name: environment.get(name) or value for name, value in shares.items()}
