"""Every name of vLLM that this engine uses, as its versions 0.20 to 0.32 have them: nobody else imports it.

What a version has is seen on its classes when the model is loaded, not read from its number. What may be
missing is named beside where it is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from engines.vllm.asks import Answer, Ask
from engines.vllm.leftovers import Scratch, end_with
from engines.vllm.lora import Adapters
from modeltest.api import DeviceError, EngineError, PrerequisiteError

_MAY_BE_MISSING = frozenset({"async_scheduling", "logprobs_mode", "kv_cache_memory_bytes"})
"""Arguments of the engine without which an older version behaves as this engine wants it to, or whose place
the caller takes; any other that is not there ends the run."""

MOST_WANTED = 128
"""`vllm.sampling_params.MAX_LOGPROB_TOKEN_IDS`: more tokens are looked up among those of all."""

EVERY_TOKEN = -1
"""As `logprobs` and `max_logprobs`: the whole vocabulary."""


_NO_ADAPTERS = Adapters()


@dataclass(frozen=True, slots=True)
class Group:
    """Layers whose keys and values lie in blocks of the same size."""

    block_tokens: int
    window_tokens: int | None
    """How far back they look; `None`: to the beginning."""


@dataclass(frozen=True, slots=True)
class Room:
    """The key-value cache that was made."""

    blocks: int
    groups: tuple[Group, ...]

    def blocks_of(self, tokens: int, step_tokens: int) -> int:
        """Return how many blocks a row of `tokens` takes at most."""
        total = 0
        for group in self.groups:
            held = tokens
            if group.window_tokens is not None:
                held = min(tokens, group.window_tokens + step_tokens + group.block_tokens)
            total += -(-held // group.block_tokens)
        return total


class Core:
    """A loaded engine of vLLM, stepped in this process."""

    def __init__(self, arguments: Mapping[str, Any], adapters: Adapters = _NO_ADAPTERS) -> None:
        """Load the model; rows may name `adapters`.

        Raises: PrerequisiteError when this version lacks what is needed; whatever vLLM raises.
        """
        from vllm import EngineArgs, LLMEngine, SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._adapters = _lora_requests(adapters)
        self._kinds = RequestOutputKind
        self._parameters = SamplingParams
        self._known = frozenset(inspect.signature(SamplingParams).parameters)
        self._scratch = Scratch()
        try:
            with self._scratch.used():
                self._raw: Any = LLMEngine.from_engine_args(EngineArgs(**_taken(EngineArgs, arguments)))
        except BaseException:
            self._clear_away()
            raise
        self._scratch.forget_shared_memory()
        ranks = getattr(self._raw.model_executor, "workers", ())
        if self.config.parallel_config.world_size > 1:
            end_with(each.proc.pid for each in ranks)
        if self.config.device_config.device_type == "cpu":
            self._scratch.remove()  # elsewhere a watchdog may look into the file by which ranks met
        # It fills gauges and counters for a server's /metrics after every step, in the time of the step.
        if getattr(self._raw, "logger_manager", None) is not None:
            self._raw.logger_manager = None
        self._as_input = _input_maker()

    @property
    def config(self) -> Any:
        """vLLM's own settings as it resolved them."""
        return self._raw.vllm_config

    @property
    def looks_up_tokens(self) -> bool:
        """Whether log-probabilities of given tokens can be asked for, rather than picked out of all."""
        return "logprob_token_ids" in self._known

    def add(self, name: str, ask: Ask) -> None:
        """Submit a row under `name`."""
        prompt = self._as_input(list(ask.ids), None if ask.may_reuse or self._skips else name)
        adapter = None if ask.adapter is None else self._adapters[ask.adapter]
        self._raw.add_request(name, prompt, self._sampling(ask), lora_request=adapter)

    def step(self) -> list[Any]:
        """Let the engine take one step and return what it gave of each row that got something.

        Raises: DeviceError when a rank has died; whatever vLLM raises.
        """
        try:
            return list(self._raw.step())
        except Exception as problem:
            if getattr(self._raw.model_executor, "is_failed", False):
                raise DeviceError(
                    f"a rank of vLLM has died: {type(problem).__name__}: {problem}"
                ) from problem
            raise

    def is_busy(self) -> bool:
        """Say whether rows are unfinished."""
        return bool(self._raw.has_unfinished_requests())

    def abort(self, names: Iterable[str]) -> None:
        """Forget rows that are unfinished."""
        self._raw.abort_request(list(names))

    def forget(self) -> None:
        """Drop what is held of earlier rows.

        Raises: EngineError when it is still in use.
        """
        if not self._raw.reset_prefix_cache():
            raise EngineError("vLLM cannot drop its prefix cache: blocks are still in use")

    def room(self) -> Room:
        """Return the cache that was made."""
        manager = self._raw.engine_core.engine_core.scheduler.kv_cache_manager
        made = manager.kv_cache_config
        groups = tuple(
            Group(group.kv_cache_spec.block_size, getattr(group.kv_cache_spec, "sliding_window", None))
            for group in made.kv_cache_groups
        )
        return Room(int(made.num_blocks), groups)

    def implementations(self) -> dict[str, str]:
        """Return by what the engine computes, as it chose or was told."""
        config = self.config
        scheduler, compilation = config.scheduler_config, config.compilation_config
        found = {
            "compilation": str(getattr(compilation.mode, "name", compilation.mode)).lower(),
            "graphs": str(getattr(compilation.cudagraph_mode, "name", compilation.cudagraph_mode)).lower(),
            "scheduling": "async" if getattr(scheduler, "async_scheduling", False) else "step by step",
            "prefill": "chunked" if scheduler.enable_chunked_prefill else "whole",
            "prefix_cache": "on" if config.cache_config.enable_prefix_caching else "off",
            "block_tokens": str(config.cache_config.block_size),
            "step_tokens": str(scheduler.max_num_batched_tokens),
            "rows": str(scheduler.max_num_seqs),
        }
        if (attention := self._attention()) is not None:
            found["attention"] = attention
        return found

    def _attention(self) -> str | None:
        """Return the backends of attention; `None` where the runner keeps them elsewhere."""
        try:
            runner = self._raw.model_executor.driver_worker.worker.model_runner
            names = {each.backend.get_name() for group in runner.attn_groups for each in group}
        except AttributeError:
            return None
        return ", ".join(sorted(names)) or None

    def close(self) -> None:
        """Free the model and its cache."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.engine_core.shutdown()
            self._clear_away()

    def _clear_away(self) -> None:
        self._scratch.forget_shared_memory()
        self._scratch.remove()

    def take(self, output: Any, ask: Ask, answer: Answer, now_ns: int, clock_ns: int) -> None:
        """Add what `output`, of a step that ended at `now_ns`, says to the answer of `ask`.

        `clock_ns` is what the monotonic clock showed when `now_ns` was 0.
        """
        (said,) = output.outputs
        new = list(said.token_ids)
        answer.tokens += new
        if ask.is_watched or output.finished:
            answer.times_ns += [now_ns] * (len(new) if ask.is_watched else 1)
        answer.is_finished = bool(output.finished)
        if not output.finished and ask.ends is None:
            return
        # A row that is told to end does so without another word of the engine.
        answer.ended = said.finish_reason == "stop"
        answer.reused_tokens = int(output.num_cached_tokens or 0)
        _take_statistics(output.metrics, answer, clock_ns)
        if said.logprobs:
            answer.logprobs = {token: one.logprob for token, one in said.logprobs[0].items()}
        if output.prompt_logprobs is not None and ask.scores_row:
            answer.row_logprobs = _row_logprobs(output.prompt_logprobs, answer.reused_tokens)

    @property
    def _skips(self) -> bool:
        """Whether a row can be kept from reading the cache; else it is given a cache of its own."""
        return "skip_reading_prefix_cache" in self._known

    def _sampling(self, ask: Ask) -> Any:
        given: dict[str, Any] = {
            "temperature": 0.0,
            "max_tokens": ask.new_tokens,
            "ignore_eos": True,  # what ends a row is in `stop_token_ids`
            "stop_token_ids": list(ask.stop_ids),
            "detokenize": False,
            "output_kind": self._kinds.DELTA if ask.is_watched or ask.ends else self._kinds.FINAL_ONLY,
        }
        if self._skips:
            given["skip_reading_prefix_cache"] = not ask.may_reuse
        if ask.scores_row:
            given["prompt_logprobs"] = 1
        given |= self._logprobs(ask)
        if ask.draw is not None:
            sampling = ask.draw.sampling
            given |= {
                "seed": ask.draw.seed,
                "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
                "top_k": sampling.top_k or 0,
                "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
            }
        return self._parameters(**given)

    def _logprobs(self, ask: Ask) -> dict[str, Any]:
        if ask.top:
            return {"logprobs": ask.top}
        if not ask.wanted:
            return {}
        if self.looks_up_tokens and len(ask.wanted) <= MOST_WANTED:
            return {"logprob_token_ids": list(ask.wanted)}
        return {"logprobs": EVERY_TOKEN}


def device_type() -> str:
    """Return the device of the platform that vLLM found."""
    from vllm.platforms import current_platform

    return str(current_platform.device_type)


def _lora_requests(adapters: Adapters) -> dict[str, Any]:
    """Return vLLM's names of adapters by ours.

    Raises: PrerequisiteError for settings that an older version passes over in silence.
    """
    if not adapters.folders:
        return {}
    from vllm.lora.peft_helper import PEFTHelper
    from vllm.lora.request import LoRARequest

    known = {each.name for each in dataclass_fields(PEFTHelper)}
    if ignored := [name for name in adapters.patterns if name not in known]:
        raise PrerequisiteError(
            f"an adapter has {', '.join(ignored)}, which this vLLM passes over: its answers would be wrong"
        )
    return {
        name: LoRARequest(name, number, folder)
        for number, (name, folder) in enumerate(adapters.folders.items(), start=1)
    }


def _taken(kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    known = {each.name for each in dataclass_fields(kind)}
    missing = sorted(set(arguments) - known - _MAY_BE_MISSING)
    if missing:
        raise PrerequisiteError(
            f"this vLLM does not take {', '.join(missing)}; see the versions this engine knows"
        )
    return {name: value for name, value in arguments.items() if name in known}


def _input_maker() -> Any:
    """Return what makes vLLM's input of token ids and, if not `None`, a salt that parts its cache."""
    try:
        from vllm.inputs.engine import tokens_input
    except ImportError:  # up to 0.2x an input is a plain dict

        def plain(ids: list[int], salt: str | None) -> Any:
            given: dict[str, Any] = {"prompt_token_ids": ids}
            return given if salt is None else {**given, "cache_salt": salt}

        return plain
    return lambda ids, salt: tokens_input(ids, cache_salt=salt)


def _row_logprobs(listed: Any, reused: int) -> dict[int, dict[int, float]]:
    """Return the log-probabilities by position; of what was read from the cache the engine says nothing."""
    return {
        place - 1: {token: one.logprob for token, one in listed[place].items()}
        for place in range(max(reused, 0) + 1, len(listed))
    }


def _take_statistics(statistics: Any, answer: Answer, clock_ns: int) -> None:
    if statistics is None:
        return
    answer.preemptions = int(getattr(statistics, "num_preemptions", 0))
    answer.is_corrupted = bool(getattr(statistics, "is_corrupted", False))
    first, last = statistics.first_token_ts, statistics.last_token_ts
    if first and last:
        answer.engine_times_ns = (round(first * 1e9) - clock_ns, round(last * 1e9) - clock_ns)
