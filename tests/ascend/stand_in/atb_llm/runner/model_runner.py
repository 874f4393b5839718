"""A tiny model on the CPU under the attributes of the library's ModelRunner."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from atb_llm.runner.tokenizer_wrapper import chat_input_ids, load_tokenizer
from atb_llm.utils.env import ENV
from atb_llm.utils.file_utils import check_path_permission, standardize_path
from atb_llm.utils.log import logger, print_log

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
QUANTIZE = (
    *(None, "w8a8", "w8a8s", "w8a8sc", "w8a16", "w4a16", "w8a8_dynamic", "w8a8_pdmix", "w8a8_mix"),
    *("w4a8_dynamic", "w16a16s", "w16a16sc"),
)
DESCRIPTION = "quant_model_description.json"


class ModelRunner:
    """Loads a checkpoint and computes the logits behind a sequence.

    With pipeline parallelism every rank computes the whole model, and the last one writes.
    `STAND_IN_MEMORY_ROWS=N` makes memory run out when more than N sequences are computed together,
    `STAND_IN_MEMORY_ROWS_OF_R=N` on rank R alone, after the step, and `STAND_IN_MEMORY_TOKENS=N` when one of
    them has more than N new tokens. `STAND_IN_SOC=310P` takes the place of a chip without bfloat16.
    """

    def __init__(
        self,
        model_name_or_path: str,
        rank: int,
        world_size: int,
        *,
        load_tokenizer_too: bool = True,
        max_position_embeddings: int | None = None,
        trust_remote_code: bool = False,
        pp: int = 1,
    ) -> None:
        from transformers import AutoConfig

        self.model_path = standardize_path(model_name_or_path)
        check_path_permission(self.model_path)
        self.rank, self.world_size = int(rank), int(world_size)
        self.device = torch.device("cpu")
        self.device_index = ENV.devices.get(self.rank, ENV.local_rank)
        if self.world_size % ENV.nodes:
            raise ValueError("world_size should be divisible by the number of nodes.")
        self.trust_remote_code = trust_remote_code
        written = json.loads((Path(self.model_path) / "config.json").read_text(encoding="utf-8"))
        described = Path(self.model_path) / DESCRIPTION
        self.quantize = written.get("quantize")
        if self.quantize is None and described.exists():
            kind = json.loads(described.read_text(encoding="utf-8"))["model_quant_type"]
            self.quantize = kind.lower()
        if self.quantize not in QUANTIZE:
            raise ValueError(f"unknown quantize {self.quantize}")
        # The transformers of the library know torch_dtype only.
        if written.get("torch_dtype") not in DTYPES:
            raise NotImplementedError(
                f"unsupported type: {written.get('torch_dtype')}, 当前仅支持`float16`和`bfloat16`"
            )
        self.dtype = DTYPES[written["torch_dtype"]]
        is_310p = os.getenv("STAND_IN_SOC") == "310P"
        self.soc_info = SimpleNamespace(need_nz=is_310p, support_bf16=not is_310p)
        if self.dtype is torch.bfloat16 and not self.soc_info.support_bf16:
            raise NotImplementedError("bfloat16 is not supported by this chip, use float16 instead")
        self.config = AutoConfig.from_pretrained(self.model_path, trust_remote_code=trust_remote_code)
        self.config.quantize = self.quantize
        if max_position_embeddings is not None:
            self.config.max_position_embeddings = max_position_embeddings
        self.tokenizer: Any = None
        if load_tokenizer_too:
            self.tokenizer = load_tokenizer(self.model_path, trust_remote_code=trust_remote_code)
        self.mapping = SimpleNamespace(has_pp=lambda: pp > 1, attn_dp=SimpleNamespace(group_size=1))
        self.postprocessor = self._postprocessor()
        self.model: Any = None
        self.adapters: dict[str, Any] = {}
        """The model with each adapter."""

        self.warmup_is_end = False
        if self.world_size > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", rank=self.rank, world_size=self.world_size)

    def load_weights(self, **_: Any) -> None:
        """Load the weights."""
        import transformers

        # Renamed in 4.56. `model.to(dtype)` would round the angles of rotary positions, too.
        version = tuple(map(int, transformers.__version__.split(".")[:2]))
        dtype = {"dtype" if version >= (4, 56) else "torch_dtype": self.dtype}
        with _memory_errors_in_disguise():
            model = transformers.AutoModelForCausalLM.from_pretrained(
                self.model_path, config=self.config, trust_remote_code=self.trust_remote_code, **dtype
            )
            self.model = model.eval()
        print_log(self.rank, logger.info, f"loaded {self.model_path}")

    def build_inputs(self, conversations: list[list[dict[str, str]]]) -> list[torch.Tensor]:
        """Return the ids of conversations."""
        return [torch.tensor(chat_input_ids(self.tokenizer, turns)) for turns in conversations]

    def load_adapters(self, folders: dict[str, str]) -> None:
        """Load the adapters in `folders`, by name."""
        from atb_llm.runner.adapters import with_adapter

        for name, folder in folders.items():
            self.adapters[name] = with_adapter(self.model, standardize_path(folder))

    def forward(
        self, inputs: list[list[int]], caches: list[Any], adapters: list[str | None]
    ) -> tuple[torch.Tensor, list[Any]]:
        """Return the last-position logits `[rows, vocabulary]` and the caches, one sequence after the other.

        Every rank must compute the same step: a rank that does not would leave the others waiting.
        """
        with _memory_errors_in_disguise(), torch.inference_mode():
            _use_memory(len(inputs), max(map(len, inputs)))
            self._agree(inputs)
            rows, kept = [], []
            for ids, cache, adapter in zip(inputs, caches, adapters, strict=True):
                model = self.model if adapter in (None, "base") else self.adapters[adapter]
                out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
                rows.append(out.logits[0, -1])
                kept.append(out.past_key_values)
            _use_memory(len(inputs), whose=f"_OF_{self.rank}")
        return torch.stack(rows).to(self.dtype), kept

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, new_tokens: int
    ) -> torch.Tensor:
        """Return input and greedily generated ids, as transformers' own loop gives them."""
        with _memory_errors_in_disguise(), torch.inference_mode():
            _use_memory(len(input_ids), input_ids.shape[1])
            self._agree(input_ids.tolist())
            found: torch.Tensor = self.model.generate(
                input_ids=input_ids,
                attention_mask=attention_mask,
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=self.postprocessor.pad_token_id,
            )
        return found

    def _agree(self, inputs: list[list[int]]) -> None:
        if self.world_size == 1:
            return
        mine = torch.tensor([len(inputs), sum(map(len, inputs)), sum(map(sum, inputs))])
        of_all = [torch.zeros_like(mine) for _ in range(self.world_size)]
        torch.distributed.all_gather(of_all, mine)
        if any(not torch.equal(mine, other) for other in of_all):
            raise AssertionError(f"rank {self.rank}: the ranks compute different steps: {of_all}")

    def _postprocessor(self) -> SimpleNamespace:
        from transformers import GenerationConfig

        try:
            generation = GenerationConfig.from_pretrained(self.model_path)
        except OSError:
            generation = GenerationConfig()
        eos, pad = generation.eos_token_id, generation.pad_token_id
        if eos is None and self.tokenizer is not None:
            eos = self.tokenizer.eos_token_id
        return SimpleNamespace(
            eos_token_id=eos, pad_token_id=pad if pad is not None else 0, max_new_tokens=20
        )


class _memory_errors_in_disguise:  # noqa: N801 - reads as what it does
    """The library wraps memory that ran out in a RuntimeError of its own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        if isinstance(problem, torch.OutOfMemoryError):
            raise RuntimeError(
                "Device out of memory (OOM). Please reduce the batch size or the sequence length."
            ) from problem


def _use_memory(rows: int, tokens: int = 0, *, whose: str = "") -> None:
    most_rows = int(os.getenv(f"STAND_IN_MEMORY_ROWS{whose}", "0"))
    most_tokens = int(os.getenv("STAND_IN_MEMORY_TOKENS", "0"))
    if (most_rows and rows > most_rows) or (most_tokens and tokens > most_tokens):
        raise torch.OutOfMemoryError(
            "NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.97 GiB total capacity; 58.13 GiB "
            "already allocated; 1.11 GiB free; 59.02 GiB reserved in total by PyTorch)"
        )
