"""What the engines of both runners of MindIE share: where it is, its environment, requests in windows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.common.device import versions
from engines.mindie.environment import (
    VERSIONED_PACKAGES,
    device_name,
    environment,
    file_environment,
    run_notes,
    why_no_mindie,
)
from modeltest.api import (
    Completion,
    EngineError,
    EngineInfo,
    ModelInfo,
    PrerequisiteError,
    RankUse,
    Request,
    RunSpec,
    Tokenizer,
)

if TYPE_CHECKING:
    from engines.common.encoding import Encoded, Encoder
    from engines.common.text_tokens import TextTokens

WINDOW_REQUESTS = 1024
"""How many requests are tokenized together."""


class MindieEngine(ABC):
    """An engine that drives a runner of MindIE's `examples`."""

    name: str
    module: str
    """Of the runner, in `examples`."""

    needs_weights = True

    def __init__(self) -> None:
        self._encoder: Encoder | None = None
        self._tokenizer: Any = None
        self._texts: TextTokens | None = None
        self._ends: frozenset[int] = frozenset()

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why MindIE is not used here."""
        return why_no_mindie(spec, self.module)

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return what MindIE reads when it is imported."""
        return environment(spec, model)

    def file_environment(self, spec: RunSpec, directory: Path) -> Mapping[str, str]:
        """Return what makes MindIE write into `directory`; its import checks that in any case."""
        return file_environment(spec, directory)

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions as they are computed; see `modeltest.api.Engine.complete`."""
        from engines.common.encoding import by_kind, encode_window

        if self._encoder is None:
            raise EngineError(f"engine {self.name} is asked before it has loaded a model")
        remaining = iter(requests)
        while window := list(islice(remaining, WINDOW_REQUESTS)):
            encoded, failed = encode_window(self._encoder, window)
            for begin in range(0, len(failed), batch_size):
                yield failed[begin : begin + batch_size]
            for same_kind in by_kind(encoded):
                yield from self._answer(same_kind, batch_size)

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer that MindIE chose for the checkpoint."""
        from engines.common.tokenizing import CheckpointTokenizer

        if self._texts is None:
            raise EngineError(f"engine {self.name} is asked for its tokenizer before it has loaded a model")
        return CheckpointTokenizer(self._texts)

    def _forget_texts(self) -> None:
        """End what the tokenizer has started."""
        if self._texts is not None:
            self._texts.template.close()
        self._texts = self._encoder = None

    @abstractmethod
    def _answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests that may share batches."""

    def _loaded(
        self,
        raw: Any,
        spec: RunSpec,
        model: ModelInfo,
        begin: float,
        *,
        ranks: RankUse | None = None,
        notes: Sequence[str] = (),
    ) -> EngineInfo:
        """Take over the tokenizer of the runner `raw` and return what it has loaded since `begin`."""
        from engines.common.encoding import Encoder
        from engines.common.text_tokens import TextTokens
        from engines.mindie.library import checked_dtype, plain_ids

        dtype = checked_dtype(raw, spec)
        device = str(raw.device).partition(":")[0]
        if spec.device == "npu" and device != "npu":
            raise PrerequisiteError(f"device npu is demanded, {type(raw).__name__} runs on {raw.device}")
        context = spec.max_position_embeddings or model.max_position_embeddings
        self._tokenizer = raw.tokenizer or _own_tokenizer(spec, model)
        self._texts = TextTokens(self._tokenizer, embeddings=raw.model.config.vocab_size)
        self._encoder = Encoder(self._texts, context, raw.model.config.vocab_size)
        self._ends = frozenset(plain_ids(raw.model.postprocessor.eos_token_id))
        return EngineInfo(
            engine=self.name,
            device=device_name(device, spec),
            dtype=dtype,
            vocabulary_size=raw.model.config.vocab_size,
            special_token_ids=tuple(sorted({*self._tokenizer.all_special_ids, *self._ends})),
            context_tokens=context,
            versions=versions(device, VERSIONED_PACKAGES),
            load_s=time.perf_counter() - begin,
            ranks=ranks,
            notes=(*run_notes(spec), *self._texts.notes, *notes),
        )


def _own_tokenizer(spec: RunSpec, model: ModelInfo) -> Any:
    """Return the tokenizer of the checkpoint, for a runner that was made without one."""
    import transformers

    from engines.common.tokenizer_loading import load_tokenizer

    return load_tokenizer(transformers, model, trust_remote_code=spec.trust_remote_code)
