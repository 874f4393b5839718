"""The variables of a worker that runs vLLM. Pure."""

from __future__ import annotations

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
}


def variables(spec: RunSpec, device: str) -> dict[str, str]:
    """Return what to set before vLLM is imported, for a build that is for `device`."""
    found = dict(_ALWAYS)
    if device != "npu":
        found |= AUTOLOAD_OFF
    if device == "cpu":
        found["VLLM_TARGET_DEVICE"] = "cpu"
        if not compiles(spec, device, Options.parse(spec.engine_options)):
            # vLLM compiles small functions of its own even then, for longer than most accuracy runs take.
            found["TORCHDYNAMO_DISABLE"] = "1"
    if not spec.cases:
        found["VLLM_COMPUTE_NANS_IN_LOGITS"] = "1"
    return found
