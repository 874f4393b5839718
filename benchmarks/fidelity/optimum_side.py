"""optimum-benchmark on the same model and shape, as its documentation shows it.

A process of the environment it is installed in, `python optimum_side.py ORDER.json`: it needs transformers 4,
so nothing of ModelTest is imported here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> None:
    """Measure what the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    path = Path(order["directory"]) / "result.json"
    path.write_text(json.dumps(measure(order), indent=2) + "\n", encoding="utf-8")


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Return its latencies in its own terms, in s, and ours made of them.

    Its prefill ends before the first token is chosen; its decode has all tokens but the first.
    """
    from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, ProcessConfig, PyTorchConfig

    new_tokens = order["output_tokens"]
    report = Benchmark.launch(
        BenchmarkConfig(
            name="fidelity",
            launcher=ProcessConfig(),
            backend=PyTorchConfig(
                model=order["model"], task="text-generation", device="cpu", torch_dtype="float32"
            ),
            scenario=InferenceConfig(
                latency=True,
                memory=False,
                energy=False,
                warmup_runs=order["warmup"],
                iterations=order["trials"],
                duration=0,
                input_shapes={"batch_size": order["batch_size"], "sequence_length": order["input_tokens"]},
                generate_kwargs={"max_new_tokens": new_tokens, "min_new_tokens": new_tokens},
            ),
        )
    ).to_dict()
    prefill_s, decode_s = (report[phase]["latency"]["values"] for phase in ("prefill", "decode"))
    return {
        "trials": [
            {"ttft_ms": first * 1e3, "tpot_ms": rest * 1e3 / (new_tokens - 1)}
            for first, rest in zip(prefill_s, decode_s, strict=True)
        ]
    }


if __name__ == "__main__":
    main(sys.argv[1:])
