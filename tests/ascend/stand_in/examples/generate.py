"""One pass over requests with continuous batching, and the files it writes."""

import csv
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from atb_llm.utils.env import ENV
from atb_llm.utils.file_utils import check_file_safety

from examples.requests import BlockCounter, Request

FILE_MODE = 0o640


@dataclass
class Pass:
    """The limits of a pass and the times of its steps, in seconds."""

    model: Any
    blocks: BlockCounter
    max_batch_size: int
    max_prefill_tokens: int
    writes: bool
    """Whether this process saves logits."""

    prefill_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)

    def run(self, requests: list[Request]) -> None:
        """Generate until every request has ended: prefills first, then one token of all at a time."""
        waiting, active = list(requests), []
        first = requests[0]
        while waiting or active:
            group = self._take(waiting, len(active))
            begin = time.perf_counter()
            if group:
                rows = self._step(group, [request.input_ids for request in group], len(first.output_ids))
                self.prefill_s.append(time.perf_counter() - begin)
                active += group
            else:
                rows = self._step(
                    active, [request.output_ids[-1:] for request in active], len(first.output_ids)
                )
                self.decode_s.append(time.perf_counter() - begin)
            for request in rows:
                if self._has_ended(request):
                    self.blocks.release(request)
            active = [request for request in active if request.blocks]

    def _take(self, waiting: list[Request], running: int) -> list[Request]:
        group: list[Request] = []
        tokens = 0
        while waiting and running + len(group) < self.max_batch_size:
            length = len(waiting[0].input_ids)
            if length > self.max_prefill_tokens:
                raise ValueError(
                    f"req: {waiting[0].number} input length is {length}, which is longer than "
                    f"max_prefill_tokens: {self.max_prefill_tokens}"
                )
            if tokens + length > self.max_prefill_tokens:
                break
            self.blocks.allocate(waiting[0], self.model.postprocessor.max_new_tokens)
            tokens += length
            group.append(waiting.pop(0))
        return group

    def _step(self, requests: list[Request], inputs: list[list[int]], produced: int) -> list[Request]:
        logits, caches = self.model.forward(
            inputs, [request.cache for request in requests], [request.adapter for request in requests]
        )
        if ENV.modeltest_dataset_specified:
            ENV.update()
        if self.writes:
            save_logits(logits, produced)
        for request, cache, token in zip(requests, caches, logits.argmax(dim=-1).tolist(), strict=True):
            request.cache = cache
            request.output_ids.append(token)
        return requests

    def _has_ended(self, request: Request) -> bool:
        if ENV.modeltest_dataset_specified:
            ENV.update()
        postprocessor = self.model.postprocessor
        is_full = len(request.output_ids) >= postprocessor.max_new_tokens
        return is_full or ends_text(request.output_ids[-1], postprocessor.eos_token_id)


def ends_text(token: int, eos: Any) -> bool:
    """Say whether `token` ends a text: `eos` is a number, a list or a list of lists."""
    if isinstance(eos, (list, tuple)):
        return any(ends_text(token, part) for part in eos)
    return eos is not None and token == eos


def save_logits(logits: torch.Tensor, produced: int) -> None:
    """Write the last-position logits of a step, if that is on."""
    if not (ENV.modeltest_dataset_specified and ENV.logits_save_enable):
        return
    path = Path(check_file_safety(f"{ENV.logits_save_folder}/logits_{produced}.pth"))
    torch.save(logits.cpu(), path)
    path.chmod(FILE_MODE)


def save_token_ids(requests: list[Request], writes: bool, *, shares: int = 1) -> None:
    """Write the ids of every request, if that is on; files of other requests stay.

    Prompts that `shares` ranks share are filled up so that each gets as many tokens.
    """
    if not (ENV.modeltest_dataset_specified and ENV.token_ids_save_enable and writes):
        return
    for request in requests:
        inputs = Path(check_file_safety(f"{ENV.token_ids_save_folder}/input_ids_{request.number}.pth"))
        filling = [0] * (-len(request.input_ids) % shares)
        torch.save(torch.tensor([*request.input_ids, *filling], dtype=torch.int64), inputs)
        inputs.chmod(FILE_MODE)
        outputs = Path(check_file_safety(f"{ENV.token_ids_save_folder}/output_ids_{request.number}.txt"))
        outputs.write_text(" ".join(map(str, request.output_ids)), encoding="utf-8")
        outputs.chmod(0o600)


def save_benchmark(requests: list[Request], done: Pass, max_new_tokens: int, rank: Any) -> None:
    """Write the times of a pass over the file of the one before."""
    if rank != 0:
        return
    path = Path(ENV.benchmark_filepath)
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    prefill_ms, decode_ms = sum(done.prefill_s) * 1000, sum(done.decode_s) * 1000
    step_ms = decode_ms / (max_new_tokens - 1) if max_new_tokens > 1 else 0
    columns = {
        "batch_size": len(requests),
        "input_seq_len": len(requests[0].input_ids),
        "output_seq_len": max_new_tokens,
        "e2e_time(ms)": f" {prefill_ms + decode_ms:.2f}",
        "prefill_time(ms)": f" {prefill_ms:.2f}",
        "decoder_token_time(ms)": f" {step_ms:.2f}",
        "prefill_count": len(done.prefill_s),
        "prefill_token_times": ",".join(map(str, done.prefill_s)),
        "decode_token_times": ",".join(map(str, done.decode_s)),
        "prefill_average_time(ms)": f" {prefill_ms / len(requests):.2f}",
    }
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerow(columns)
    path.chmod(FILE_MODE)
