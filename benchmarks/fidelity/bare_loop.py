"""The plainest loop there is: prefill and greedy decoding by the model's own calls, with nothing around it.

A process of its own, `python -m fidelity.bare_loop ORDER.json`. The order names the `model`, the shape
(`input_tokens`, `output_tokens`, `batch_size`), `warmup` and `trials`, and the `directory` for `result.json`;
it may name a `device` other than the cpu and a `dtype` other than float32. The clock is read three times a
trial: before, after the first token, after the last. An accelerator runs behind what it is told to do, so
each reading first waits for it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.common.device import synchronize


def main(arguments: list[str]) -> None:
    """Time what the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    path = Path(order["directory"]) / "result.json"
    path.write_text(json.dumps({"trials": measure(order)}, indent=2) + "\n", encoding="utf-8")


def measure(order: dict[str, Any]) -> list[dict[str, float]]:
    """Return `ttft_ms` and `tpot_ms` of each trial after the warm-up; every trial has fresh token ids."""
    import torch

    model = load_model(order["model"], device=device_of(order), dtype=dtype_of(order))
    generator = torch.Generator().manual_seed(0)
    shape = (order["batch_size"], order["input_tokens"])
    trials = []
    for _ in range(order["warmup"] + order["trials"]):
        ids = torch.randint(1, model.config.vocab_size, shape, generator=generator)
        trials.append(time_trial(model, ids, order["output_tokens"]))
    return trials[order["warmup"] :]


def device_of(order: Mapping[str, Any]) -> str:
    """Return on which device the order has a model computed."""
    return str(order.get("device", "cpu"))


def dtype_of(order: Mapping[str, Any]) -> str:
    """Return torch's name of the dtype that the order has a model computed in."""
    return str(order.get("dtype", "float32"))


def load_model(path: str, *, device: str, dtype: str) -> Any:
    """Return the model as transformers loads it by default."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).to(device).eval()


def time_trial(model: Any, ids: Any, new_tokens: int) -> dict[str, float]:
    """Return what `new_tokens` after `ids` [batch, tokens] take, in ms; the clock is read three times.

    The ids are brought to the device within the first of these times, as ModelTest's are.
    """
    import torch

    with torch.inference_mode():
        begin = _now_ns(model)
        newest, cache = _step(model, ids.to(model.device), None)
        first = _now_ns(model)
        for _ in range(new_tokens - 1):
            newest, cache = _step(model, newest, cache)
        last = _now_ns(model)
    return {
        "ttft_ms": (first - begin) / 1e6,
        "tpot_ms": (last - first) / (new_tokens - 1) / 1e6,
        "e2e_ms": (last - begin) / 1e6,
    }


def _now_ns(model: Any) -> int:
    synchronize(model.device.type)
    return time.perf_counter_ns()


def _step(model: Any, ids: Any, cache: Any) -> tuple[Any, Any]:
    # The first call makes the DynamicCache. One position of logits, as generate() asks for too.
    output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return output.logits[:, -1].argmax(dim=-1, keepdim=True), output.past_key_values


if __name__ == "__main__":
    main(sys.argv[1:])
