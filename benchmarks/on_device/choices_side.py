"""ModelTest's `hf` answers questions. A process of its own, `choices_side ORDER.json`.

The order names the `model`, its `dtype`, the `device`, `data_dir`, `limit`, the `batch_sizes` and the `way`:
`packed` as the engine does, or `padded` as it does where prefixes cannot be shared. What is timed goes from
prompts as text to log-probabilities on the host (`answer_s`). All questions are asked once before, so that no
kernel is chosen or compiled within; what that took is told too (`first_s`), for ways of feeding are tried on
the model then as well.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from on_device.orders import serve
from on_device.questions import requests_of, spec_of

from engines.hf.answering import model_answers
from engines.hf.engine import HFEngine
from modeltest.api import Completion, Request, TextPrompt
from modeltest.models.checkpoint import inspect_checkpoint

PACKED, PADDED = "packed", "padded"


def main(arguments: list[str]) -> None:
    """Answer what the order asks."""
    serve(arguments, measure)


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Return what loading took, and by batch size the seconds, tokens, peak and answers."""
    spec = spec_of(order)
    if order["way"] == PADDED:
        pad_everything()
    requests = requests_of(spec)
    with closing(HFEngine()) as engine:
        info = engine.load(spec, inspect_checkpoint(spec))
        batches = {str(size): _asked(engine, requests, size) for size in order["batch_sizes"]}
    return {"load_s": info.load_s, "notes": list(info.notes), "batch_sizes": batches}


def pad_everything() -> None:
    """Let the engine share no prefixes in this process: as with a model whose attention is closed."""
    model_answers.tree_feeder = lambda *_: (None, "padded on demand")  # type: ignore[assignment]


def _asked(engine: HFEngine, requests: Sequence[Request], batch_size: int) -> dict[str, Any]:
    begin = time.perf_counter()
    _answers(engine, requests, batch_size)
    first_s = time.perf_counter() - begin
    engine.peak_memory_bytes()  # begins anew
    before = engine.usage()
    begin = time.perf_counter()
    answers = _answers(engine, requests, batch_size)
    answer_s = time.perf_counter() - begin
    after = engine.usage()
    counts = ("forward_s", "forward_calls", "computed_tokens", "reused_tokens", "padding_tokens")
    return {
        "first_s": first_s,
        "answer_s": answer_s,
        "questions": len(requests),
        **{name: _added(getattr(after, name), getattr(before, name)) for name in counts},
        "peak_bytes": engine.peak_memory_bytes(),
        "answers": {
            request.id: {
                "logprobs": list(answers[request.id].choice_logprobs),
                "prompt_sha256": _sha256(request),
            }
            for request in requests
        },
    }


def _answers(engine: HFEngine, requests: Sequence[Request], batch_size: int) -> dict[str, Completion]:
    found = {
        each.request_id: each for batch in engine.complete(requests, batch_size=batch_size) for each in batch
    }
    if problem := next((each.error for each in found.values() if each.error), None):
        raise SystemExit(f"a question failed: {problem}")
    if len(found) != len(requests):
        raise SystemExit(f"{len(found)} of {len(requests)} questions were answered")
    return found


def _sha256(request: Request) -> str:
    assert isinstance(request.prompt, TextPrompt)
    return hashlib.sha256(request.prompt.text.encode()).hexdigest()


def _added(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
