"""PARunner of the stand-in: the sizes, the inputs and the traps of the library's own."""

import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from atb_llm.runner.model_runner import ModelRunner
from atb_llm.runner.tokenizer_wrapper import chat_input_ids
from atb_llm.utils.env import ENV
from atb_llm.utils.log import logger, print_log

from examples.generate import Pass, save_benchmark, save_token_ids
from examples.records import record_made
from examples.requests import BlockCounter, Request

MAX_JSON_LENGTH = 4096
MAX_BLOCK_SIZE = 576
FREE_MEMORY_BLOCKS = 4096
"""What the KV cache takes when `infer` comes without `warm_up`."""

DEGREES = ("dp", "tp", "sp", "cp", "moe_tp", "moe_ep", "pp")


class PARunner:
    """Paged attention with continuous batching; names it does not know are ignored."""

    def __init__(self, **kwargs: Any) -> None:
        record_made("PARunner", kwargs)
        self.rank = kwargs.get("rank", "0")
        self.local_rank = kwargs.get("local_rank", self.rank)
        self.world_size = kwargs.get("world_size", "1")
        self.block_size = kwargs.get("block_size")
        self.max_batch_size = kwargs.get("max_batch_size")
        self.max_input_length = kwargs.get("max_input_length")
        self.max_output_length = kwargs.get("max_output_length")
        self.max_prefill_tokens = kwargs.get("max_prefill_tokens")
        self.prefill_length = kwargs.get("prefill_length", 8192)
        given = kwargs.get("max_prefill_batch_size")
        self.max_prefill_batch_size = self.max_batch_size if given is None else given
        self._check_json(kwargs.get("kw_args", ""))
        self.model = ModelRunner(
            kwargs.get("model_path"),
            rank=self.rank,
            world_size=self.world_size,
            load_tokenizer_too=kwargs.get("load_tokenizer", True),
            max_position_embeddings=kwargs.get("max_position_embeddings"),
            trust_remote_code=kwargs.get("trust_remote_code", False),
            pp=kwargs.get("pp", -1),
        )
        self._check_limits(kwargs)
        self._check_mapping(kwargs)
        self.shares = max(kwargs.get("sp", 1), kwargs.get("cp", 1), 1)
        self.tokenizer = self.model.tokenizer
        self.dtype = self.model.dtype
        self.quantize = self.model.quantize
        self.model.load_weights()
        self.model.load_adapters(self._adapters(kwargs))
        self.device = self.model.device
        self.max_memory = 0
        self.warm_up_memory = 0
        self.warm_up_num_blocks = 0
        self.cache_manager: BlockCounter | None = None

    def warm_up(self) -> None:
        """Make the KV cache and prefill the largest batch once."""
        rows = self.max_prefill_batch_size
        if ENV.modeltest_pd_split_enable:
            fits = self.prefill_length // self.max_input_length
            rows = 1 if self.max_input_length > self.prefill_length else min(self.max_batch_size, fits)
            self.max_prefill_batch_size = rows
        longest = self.max_input_length + self.max_output_length
        if self.max_prefill_tokens == -1:
            self.max_prefill_tokens = rows * longest
        self.warm_up_num_blocks = math.ceil(longest / self.block_size) * self.max_batch_size
        self.cache_manager = BlockCounter(self.warm_up_num_blocks, self.block_size)
        print_log(self.rank, logger.info, f"warm_up with {rows} requests")
        self._run([Request(row, [1] * self.max_input_length) for row in range(rows)], 1)
        self.model.warmup_is_end = True

    def infer(
        self,
        inputs: list[Any],
        batch_size: int,
        max_output_length: int,
        ignore_eos: bool,
        is_chat_model: bool = False,
        **kwargs: Any,
    ) -> tuple[list[Any], list[tuple[int, int]], float]:
        """Return texts, tokens up to and with each request, and seconds."""
        if not isinstance(inputs, list) or not inputs:
            raise ValueError("The inputs should be a non-empty list.")
        ids = [
            self._ids_of(item, inputs[0], is_chat_model, kwargs.get("truncation", False)) for item in inputs
        ]
        if len(ids) == 1:
            ids = ids * batch_size
        if self.cache_manager is None:
            self.cache_manager = BlockCounter(FREE_MEMORY_BLOCKS, self.block_size)
            if self.max_prefill_tokens == -1:
                self.max_prefill_tokens = self.max_batch_size * (
                    self.max_input_length + self.max_output_length
                )
        if ignore_eos:
            self.model.postprocessor.eos_token_id = []
        adapters = [item["adapter"] if isinstance(item, dict) else None for item in inputs]
        adapters *= len(ids) // len(inputs)
        requests = [Request(number, list(one), adapter=adapters[number]) for number, one in enumerate(ids)]
        if ENV.benchmark_enable:
            self._run(copy.deepcopy(requests), 2)
        begin = time.perf_counter()
        self._run(requests, max_output_length)
        texts = [self._text_of(request, kwargs.get("skip_special_tokens", False)) for request in requests]
        seconds = time.perf_counter() - begin
        save_token_ids(requests, self._writes(self.local_rank), shares=self.shares)
        if ENV.modeltest_dataset_specified or self.model.mapping.has_pp():
            ENV.update()
        counts, total = [], 0
        for request in requests:
            total += len(request.output_ids)
            counts.append((request.number, total))
        return texts, counts, seconds

    def shutdown(self) -> None:
        """Do nothing: there is no expert load balancer to stop."""

    def _run(self, requests: list[Request], max_new_tokens: int) -> None:
        assert self.cache_manager is not None
        self.model.postprocessor.max_new_tokens = max_new_tokens
        # A pass that failed keeps its blocks in the library, too; here every pass begins with all of them.
        self.cache_manager.free = self.cache_manager.num_blocks
        done = Pass(
            self.model,
            self.cache_manager,
            self.max_batch_size,
            self.max_prefill_tokens,
            self._writes(self.rank),
        )
        done.run(requests)
        if ENV.benchmark_enable:
            if self.model.mapping.has_pp():
                done.prefill_s, done.decode_s = [0.0], [0.0] * (max_new_tokens - 1)
            save_benchmark(requests, done, max_new_tokens, self.rank)

    def _writes(self, rank: Any) -> bool:
        """Say whether this process writes logits and ids: rank 0, or the last of a pipeline."""
        return self.rank == self.world_size - 1 if self.model.mapping.has_pp() else rank == 0

    def _ids_of(self, item: Any, first: Any, is_chat: bool, truncation: bool) -> list[int]:
        """Return the ids of one input; of which kind all are is judged from the first."""
        if isinstance(first, dict):
            item, first = item["prompt"], first["prompt"]
        if isinstance(first, torch.Tensor):
            return [int(token) for token in item.tolist()]
        if isinstance(first, list) and first and isinstance(first[0], int):
            return list(item)
        if self.tokenizer is None:
            raise ValueError("Neither a tokenizer nor input ids are there.")
        if isinstance(first, list) and first and isinstance(first[0], dict) and is_chat:
            return chat_input_ids(self.tokenizer, item)
        if isinstance(first, str):
            if is_chat:
                return chat_input_ids(self.tokenizer, [{"role": "user", "content": item}])
            return list(self.tokenizer(item, truncation=truncation)["input_ids"])
        raise ValueError(f"The inputs should be a list of text, ids or turns, not of {type(first)}.")

    def _text_of(self, request: Request, skip_special_tokens: bool) -> Any:
        if self.tokenizer is None:
            return torch.tensor(request.output_ids, dtype=torch.int64)
        return self.tokenizer.decode(request.output_ids, skip_special_tokens=skip_special_tokens)

    @staticmethod
    def _adapters(kwargs: dict[str, Any]) -> dict[str, str]:
        """Return the folder of each adapter: of the argument, else of a file beside the weights."""
        if kwargs.get("lora_modules") is not None:
            found: dict[str, str] = json.loads(kwargs["lora_modules"])
            return found
        file = Path(kwargs["model_path"]) / "lora_adapter.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    @staticmethod
    def _check_json(text: str) -> None:
        if len(text) > MAX_JSON_LENGTH:
            raise ValueError(f"The length of kw_args should not be greater than {MAX_JSON_LENGTH}.")
        if text:
            try:
                json.loads(text)
            except json.JSONDecodeError as problem:
                raise ValueError("kw_args is not valid JSON.") from problem

    def _check_limits(self, kwargs: dict[str, Any]) -> None:
        limit = (
            self.model.config.max_position_embeddings
            if hasattr(self.model.config, "max_position_embeddings")
            else None
        )
        if self.block_size > MAX_BLOCK_SIZE:
            print_log(self.rank, logger.warning, "block_size is out of range")
        if limit is not None and self.max_input_length + self.max_output_length > limit:
            print_log(self.rank, logger.warning, "max_position_embeddings is less than input plus output")
        if self.max_batch_size < 1 or self.max_prefill_tokens < -1:
            print_log(self.rank, logger.warning, "max_batch_size or max_prefill_tokens is out of range")
        microbatch = kwargs.get("microbatch_size", -1)
        if microbatch != -1 and not 1 <= microbatch <= self.max_batch_size:
            raise ValueError("microbatch_size should be -1 or in the range of 1 to max_batch_size.")

    def _check_mapping(self, kwargs: dict[str, Any]) -> None:
        degree = {name: kwargs.get(name, -1) for name in DEGREES}
        world = int(self.world_size)
        plain = {name: 1 if value == -1 else value for name, value in degree.items()}
        tp = degree["tp"] if degree["tp"] != -1 else world // (plain["dp"] * plain["cp"] * plain["pp"])
        if plain["pp"] > 1 and not (ENV.master_ip and ENV.master_port):
            raise ValueError("MASTER_IP and MASTER_PORT should be set for pp.")
        if plain["pp"] > 1 and tp * plain["pp"] != world:
            raise ValueError("tp * pp should equal world_size.")
        if plain["pp"] == 1 and tp * plain["cp"] * plain["dp"] != world:
            raise ValueError("tp * cp * dp should equal world_size.")
        if plain["dp"] > 1 and (plain["pp"] > 1 or plain["cp"] > 1):
            raise ValueError("dp cannot be combined with pp or cp.")
        if degree["sp"] not in (-1, 1, tp):
            raise ValueError("sp should equal tp.")
        if -1 not in (degree["moe_tp"], degree["moe_ep"]) and degree["moe_tp"] * degree["moe_ep"] != world:
            raise ValueError("moe_tp * moe_ep should equal world_size.")
