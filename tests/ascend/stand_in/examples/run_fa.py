"""FARunner of the stand-in: a contiguous KV cache, no files, and every text generated twice."""

import time
from typing import Any

import torch
from atb_llm.runner.model_runner import ModelRunner
from atb_llm.utils.log import logger, print_log

WARM_UP_TOKENS = 10
WARM_UP_IDS = 32000


class FARunner:
    """Flash attention; names it does not know are ignored."""

    def __init__(self, **kwargs: Any) -> None:
        self.rank = kwargs.get("rank", "0")
        self.local_rank = kwargs.get("local_rank", self.rank)
        self.world_size = kwargs.get("world_size", "1")
        self.max_input_length = kwargs.get("max_input_length")
        self.max_output_length = kwargs.get("max_output_length")
        self.batch_size = kwargs.get("batch_size")
        if self.max_input_length < 1 or self.max_output_length < 1 or self.batch_size < 1:
            print_log(self.rank, logger.warning, "a length or the batch size is out of range")
        self.model = ModelRunner(
            kwargs.get("model_path"),
            rank=self.rank,
            world_size=self.world_size,
            max_position_embeddings=kwargs.get("max_position_embeddings"),
            trust_remote_code=kwargs.get("trust_remote_code", False),
        )
        self.tokenizer = self.model.tokenizer
        self.dtype = self.model.dtype
        self.quantize = self.model.quantize
        self.model.load_weights()
        self.device = self.model.device
        self.skip_word_embedding = False

    def warm_up(self) -> None:
        """Generate ten tokens after random ids, which a vocabulary of less than 32000 does not have."""
        ids = torch.randint(0, WARM_UP_IDS, (self.batch_size, self.max_input_length))
        self.model.generate(ids, torch.ones_like(ids), WARM_UP_TOKENS)

    def infer(self, input_text: Any, attention_mask: Any = None) -> tuple[list[str], int, float]:
        """Return texts, the most tokens of one (0 for ids) and the seconds of both passes."""
        is_text = not isinstance(input_text, torch.Tensor)
        if is_text:
            texts = [input_text] * self.batch_size if isinstance(input_text, str) else input_text
            encoded = self.tokenizer(
                texts,
                padding="max_length",
                truncation=True,
                max_length=self.max_input_length,
                return_tensors="pt",
            )
            ids, mask = encoded["input_ids"], encoded["attention_mask"]
        else:
            ids, mask = input_text, attention_mask.to(self.device)
        begin = time.perf_counter()
        self.model.generate(ids, mask, 1)
        first_s = time.perf_counter() - begin
        generated = self.model.generate(ids, mask, self.max_output_length)
        e2e_s = time.perf_counter() - begin
        per_token_s = (e2e_s - first_s) / (self.max_output_length - 1)
        print_log(self.rank, logger.info, f"first {first_s} s, others {per_token_s} s each")
        new_ids = generated[:, ids.shape[1] :]
        count = new_ids.shape[1] if is_text else 0
        return self.tokenizer.batch_decode(new_ids, skip_special_tokens=True), count, e2e_s
