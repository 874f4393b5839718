"""transformers' continuous batching, one step at a time; the only module that uses its internals.

Used of it: the paged cache with its blocks and shared prefixes, the scheduler, the requests with their time
stamps, the tensors of each step. Not used: its thread, so that a step is a call here and an error an error of
that call; its attention, whose masks span all rows (`sequence_attention.py`); its sampling, which knows
neither NaN nor the logits of other positions than the last (`paged_loop.py`).
"""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engines.hf.paged.sequence_attention import RowLengths, left_padded
from modeltest.api import EngineError

SUPPORTED_VERSIONS = ("5.19", "5.20", "5.21", "5.22", "5.23")
"""Of transformers, by major and minor number: `tests/engines/hf/paged/test_hf_paged.py` passes with each.

What is used here may change with any other, so that one is added when the tests have passed with it.
"""

_MASKLESS = "flash"
"""What transformers looks for in an attention's name to know that no mask needs memory."""


def obstacle() -> str | None:
    """Return why continuous batching cannot be used with what is installed, or `None`; imports nothing."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("transformers")
        version("psutil")  # without it transformers takes a machine for one without memory
    except PackageNotFoundError as problem:
        return f"{problem.name} is not installed"
    if ".".join(found.split(".")[:2]) in SUPPORTED_VERSIONS:
        return None
    return f"it needs transformers {' or '.join(SUPPORTED_VERSIONS)}, and {found} is installed"


@dataclass(frozen=True, slots=True)
class Room:
    """What the cache and the tensors of a step must hold."""

    rows: int
    row_tokens: int
    """Tokens of the longest row that are fed: its prompt and all new ones but the last."""

    step_tokens: int
    """Tokens fed in one step at most; a longer prompt is fed in several."""

    is_timed: bool
    """Rows share no prefixes then: the second of two equal batches must take as long as the first."""

    def holds(self, other: Room) -> bool:
        """Say whether `other` can be served here as well as in a room of its own."""
        if self.is_timed or other.is_timed:
            return self == other
        same = (self.rows, self.step_tokens) == (other.rows, other.step_tokens)
        return same and self.row_tokens >= other.row_tokens


@dataclass(frozen=True, slots=True)
class StepRow:
    """A row's part of a step: `tokens` from position `start` on, and whether its prompt is through then."""

    row: int
    start: int
    tokens: int
    gives_token: bool


class ContinuousBatching:
    """Requests, cache and scheduler of transformers for rows that fit into one `Room`.

    A round is `prepare`, a forward pass whose attention calls `write_and_read` in every layer, `advance`.
    """

    def __init__(self, model: Any, room: Room, *, block_tokens: int, seed: int, dtype: Any = None) -> None:
        self.room = room
        self._block_tokens = block_tokens
        self._shareable: dict[str, int] = {}
        self._fed_tokens: dict[str, int] = {}
        self._states: dict[str, Any] = {}
        self._arguments: dict[str, Any] = {}
        self._lengths: dict[str, RowLengths] = {}
        self._processor = _processor(
            model, room, block_tokens=block_tokens, seed=seed, dtype=dtype or model.dtype
        )
        self._cache = self._processor.cache
        self._search_prefix = self._cache.search_prefix_match
        # On the instance: a row may share no block that holds a position whose logits are wanted.
        self._cache.search_prefix_match = self._search_shareable

    @property
    def cache_bytes(self) -> int:
        """The size of the cache."""
        return int(self._cache.cache_tensor.nbytes)

    @property
    def input_ids(self) -> Any:
        """The tokens of the step, `[1, tokens]`."""
        return self._arguments["input_ids"].long()

    @property
    def position_ids(self) -> Any:
        """The positions of the step's tokens in their rows, `[1, tokens]`."""
        return self._arguments["position_ids"].long()

    def reset(self) -> None:
        """Forget every prefix."""
        self._cache.reset()

    def close(self) -> None:
        """Free the cache; nothing can be asked afterwards."""
        # What was set on the cache refers to this object: the memory would wait for the garbage collector.
        del self._cache.search_prefix_match
        self._arguments, self._states = {}, {}
        # When its processor ends, transformers calls gc.collect(), which takes up to a second and finds
        # nothing: freezing keeps all objects out of that collection.
        gc.freeze()
        self._processor = self._cache = self._search_prefix = None
        gc.unfreeze()

    def first_unknown(self, ids: tuple[int, ...], shareable: int) -> tuple[int, ...] | None:
        """Return the ids up to the end of the first block that rows like this could share but nobody has.

        `None` when there is no such block within the first `shareable` tokens.
        """
        if not self._cache.use_prefix_sharing:
            return None
        # transformers never matches the last token of what it is given.
        known = min(
            len(allocator.match_prefix_blocks(ids[: shareable + 1]))
            for allocator in self._cache.cache_allocators.values()
        )
        end = (known + 1) * self._block_tokens
        return ids[:end] if end <= shareable else None

    def submit(
        self, row: int, ids: Sequence[int], *, shareable: int, new_tokens: int, records_times: bool
    ) -> None:
        """Queue a row; at most its first `shareable` tokens may be taken from others."""
        from transformers.generation.continuous_batching import RequestState

        state = RequestState(
            request_id=f"row {row}",
            initial_tokens=list(ids),
            record_timestamps=records_times,
            # One more than wanted: of a request that ends by its own count transformers shares no blocks.
            max_new_tokens=new_tokens + 1,
        )
        self._states[state.request_id] = state
        self._shareable[state.request_id] = shareable
        self._fed_tokens[state.request_id] = len(ids) + new_tokens - 1
        self._make_room()
        self._processor.input_queue.put(state)

    def prepare(self) -> tuple[StepRow, ...]:
        """Prepare a step and return its rows, whose tokens lie one behind another in this order.

        Raises: EngineError when there is nothing to do.
        """
        if not self._processor.prepare_next_batch():
            raise EngineError(f"transformers schedules none of {len(self._states)} rows")
        inputs = self._processor.inputs_and_outputs
        self._arguments = inputs.get_model_kwargs()
        batch = inputs.requests_in_batch
        rows = tuple(
            StepRow(
                _row(future.state.request_id),
                future.state.position_offset - future.query_length,
                future.query_length,
                future.has_new_token,
            )
            for future in batch
        )
        self._lay_out(rows)
        return rows

    def write_and_read(self, layer: int, key: Any, value: Any) -> tuple[Any, Any, RowLengths]:
        """Write the step's keys and values `[1, heads, tokens, width]`; return those of whole rows."""
        # The cache changes the arguments it is given.
        key, value = self._cache.update(key, value, layer, dict(self._arguments))
        return key, value, self._lengths[self._cache.layer_to_allocator[layer].layer_type]

    def window(self, layer: int) -> int | None:
        """Return how many tokens the cache keeps for a layer with a sliding window."""
        window: int | None = getattr(self._cache.layer_to_allocator[layer], "sliding_window", None)
        return window

    def advance(self, tokens: Any) -> None:
        """Give the rows with `gives_token` their new token, in order, and advance every row by its step."""
        self._processor.inputs_and_outputs.output_ids[0, : len(tokens)] = tokens
        self._processor.update_batch()
        # The output queue of transformers is not needed: results are read from the states.
        outputs = self._processor.output_router.output_queue
        while not outputs.empty():
            outputs.get_nowait()

    def new_tokens(self, row: int) -> list[int]:
        """Return the tokens a row has got so far."""
        tokens: list[int] = self._states[_name(row)].generated_tokens
        return tokens

    def times_s(self, row: int) -> list[float]:
        """Return when each of them was on the host, as `time.perf_counter` counts; empty if not recorded."""
        times: list[float] = self._states[_name(row)].timestamps or []
        return times

    def end(self, row: int) -> None:
        """Take a row out; its whole blocks stay for others to share until their memory is needed."""
        from transformers.generation.continuous_batching import RequestStatus

        name = _name(row)
        self._states.pop(name).status = RequestStatus.FINISHED
        self._processor.scheduler.finish_request(name)
        del self._shareable[name], self._fed_tokens[name]

    def _search_shareable(self, name: str, ids: list[int]) -> int:
        shared: int = self._search_prefix(name, ids[: self._shareable[name] + 1])
        return shared

    def _make_room(self) -> None:
        missing = sum(self._missing_blocks(name) for name in self._states)
        bytes_per_block = self._cache.num_sectors * self._cache.bytes_per_sector / self._cache.num_blocks
        if self._cache.compute_free_capacity(relative=False) < missing * bytes_per_block:
            self._cache.evict_cached_blocks()
            self._cache.pool.try_to_free_sectors()

    def _missing_blocks(self, name: str) -> int:
        tables = (allocator.block_table.get(name, ()) for allocator in self._cache.cache_allocators.values())
        return math.ceil(self._fed_tokens[name] / self._block_tokens) - max(len(table) for table in tables)

    def _lay_out(self, rows: Sequence[StepRow]) -> None:
        """Note how many keys each row reads, by kind of attention; pad them where all rows decode."""
        indices = self._arguments["read_index"]
        for place, (kind, allocator) in enumerate(self._cache.cache_allocators.items()):
            lengths = RowLengths(
                tuple(row.tokens for row in rows),
                tuple(allocator.get_seqlen_k(row.start, row.tokens) for row in rows),
            )
            if len(indices[place]) not in (0, sum(lengths.keys)):
                raise EngineError(
                    f"transformers reads {len(indices[place])} keys where rows have {sum(lengths.keys)}"
                )
            if lengths.is_decoding and not lengths.is_even:
                indices[place] = left_padded(indices[place], lengths, allocator.read_trash_index)
            self._lengths[kind] = lengths


def _name(row: int) -> str:
    return f"row {row}"


def _row(name: str) -> int:
    return int(name.removeprefix("row "))


def _processor(model: Any, room: Room, *, block_tokens: int, seed: int, dtype: Any) -> Any:
    from queue import Queue

    from transformers import GenerationConfig, LogitsProcessorList
    from transformers.generation.configuration_utils import ContinuousBatchingConfig
    from transformers.generation.continuous_batching.cache import PagedAttentionCache
    from transformers.generation.continuous_batching.cb_logits_processors import (
        ContinuousBatchingLogitsProcessorList,
    )
    from transformers.generation.continuous_batching.continuous_api import (
        BackgroundThreadStatus,
        ContinuousBatchProcessor,
        OutputRouter,
    )
    from transformers.generation.continuous_batching.distributed import DistributedHelper
    from transformers.generation.continuous_batching.scheduler import FIFOScheduler

    config = copy.copy(model.config.get_text_config())
    config._attn_implementation_internal = _MASKLESS
    settings = ContinuousBatchingConfig(
        page_size=block_tokens,
        num_blocks=_blocks(config, room, block_tokens),
        max_batch_tokens=max(room.step_tokens, room.rows),
        max_memory_percent=1.0,
        max_requests_per_batch=room.rows,
        max_blocks_per_request=0,
        allow_block_sharing=not room.is_timed,
        use_async_batching=False,
        use_cuda_graph=(False, False),
        safety_margin=0.0,
        seed=seed,
    )
    alone = DistributedHelper(device_mesh=None, cpu_group_timeout=None)
    cache = PagedAttentionCache(
        config, settings, model.device, alone, dtype, model_supports_logits_to_keep=True
    )
    return ContinuousBatchProcessor(
        cache=cache,
        config=config,
        generation_config=GenerationConfig(do_sample=False),
        continuous_batching_config=settings,
        logit_processor=ContinuousBatchingLogitsProcessorList(LogitsProcessorList()),
        input_queue=Queue(),
        cancel_queue=Queue(),
        output_router=OutputRouter(),
        background_thread_status=BackgroundThreadStatus(),
        model_device=model.device,
        model_dtype=dtype,
        scheduler=FIFOScheduler(cache, 0.0, room.rows),
        distributed_helper=alone,
    )


def _blocks(config: Any, room: Room, block_tokens: int) -> int:
    """Return how many blocks hold the rows in flight, and of untimed rows some that others may share."""
    from transformers.generation.continuous_batching.cache import group_layers_by_attn_type

    per_row = math.ceil(room.row_tokens / block_tokens)
    needed = room.rows * per_row
    kinds = [len(layers) for layers in group_layers_by_attn_type(config).values()]
    if len(kinds) > 1:
        # Each kind of layers takes memory in sectors that are whole blocks of every kind; one is half used.
        needed += len(kinds) * math.ceil(math.lcm(*kinds) / config.num_hidden_layers)
    return needed if room.is_timed else needed + max(2 * per_row, needed // 2)
