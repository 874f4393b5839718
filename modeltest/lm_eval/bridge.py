"""An engine as a model of lm-evaluation-harness.

Only the worker imports this module: it needs the package `lm_eval`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from modeltest.api import (
    Completion,
    Engine,
    EngineError,
    EngineInfo,
    PrerequisiteError,
    Prompt,
    Request,
    RunSpec,
    Tell,
    TextPrompt,
    Tokenizer,
    Tokenizing,
    TokenPrompt,
    Turn,
)
from modeltest.lm_eval.generation import GenerationOptions, read_generation_options
from modeltest.lm_eval.grouping import Likelihood, Pair, asked_alone, group, likelihoods, token_pair

DEFAULT_CONTEXT_TOKENS = 2048
"""What lm-evaluation-harness assumes of a model that does not say how much it can read."""


class EngineLM(LM):  # type: ignore[misc]
    """Answers what lm-evaluation-harness asks of a model with `Engine.complete`.

    Requests are answered all or none: its scores know no failed answers, and a made-up number must not
    get into them.
    """

    def __init__(self, engine: Engine, info: EngineInfo, spec: RunSpec, *, tell: Tell) -> None:
        super().__init__()
        self._engine = engine
        self._info = info
        self._spec = spec
        self._tell = tell
        self._context_tokens = info.context_tokens or DEFAULT_CONTEXT_TOKENS

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return log-probability and greediness of each `(context, continuation)`."""
        pairs = [self._pair(*request.args) for request in requests]
        return [(answer.logprob, answer.is_greedy) for answer in self._score(pairs, "loglikelihood")]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Return the log-probability of each whole text, read in windows as long as the context."""
        windows = [self._windows(request.args[0]) for request in requests]
        answers = iter(self._score([pair for pairs in windows for pair in pairs], "loglikelihood_rolling"))
        return [sum(next(answers).logprob for _ in pairs) for pairs in windows]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return the greedy continuation of each context, up to the first of its stop texts."""
        asked = [(request.args[0], read_generation_options(request.args[1])) for request in requests]
        different = {key: str(number) for number, key in enumerate(dict.fromkeys(asked))}
        completions = self._ask(
            [
                Request(
                    request_id,
                    self._prompt_to_continue(context, options),
                    max_new_tokens=options.max_new_tokens,
                    stop=options.stop,
                )
                for (context, options), request_id in different.items()
            ],
            "generate_until",
        )
        return [completions[different[key]].text or "" for key in asked]

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer's name."""
        return self._tokenizer("a chat template").name

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the template itself, for the results."""
        return self._tokenizer("a chat template").chat_template if chat_template else None

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as text."""
        turns = [Turn(message["role"], message["content"]) for message in chat_history]
        return self._tokenizer("a chat template").lay_out(turns, generation_prompt=add_generation_prompt)

    def get_model_info(self) -> dict[str, Any]:
        """Return what the results say of the model, beside what they say of every model."""
        return {
            "model": f"modeltest-{self._info.engine}",
            "model_dtype": self._info.dtype,
            "model_device": self._info.device,
            "max_length": self._context_tokens,
            "engine_versions": dict(self._info.versions),
        }

    def _pair(self, context: str, continuation: str) -> Pair:
        if context:
            return Pair(TextPrompt("", (), context), continuation)
        tokenizer = self._tokenizer("empty contexts")
        ids = tokenizer.encode(continuation, special=False)
        if ids[:1] == (tokenizer.prefix_token_id,):
            return token_pair(ids[:1], ids[1:])
        return token_pair([tokenizer.prefix_token_id], ids)

    def _windows(self, text: str) -> list[Pair]:
        tokenizer = self._tokenizer("rolling log-likelihoods")
        windows = get_rolling_token_windows(
            token_list=list(tokenizer.encode(text, special=True)),
            prefix_token=tokenizer.prefix_token_id,
            max_seq_len=self._context_tokens,
            context_len=1,
        )
        return [token_pair(*make_disjoint_window(window)) for window in windows]

    def _prompt_to_continue(self, context: str, options: GenerationOptions) -> Prompt:
        """Return the context, without the left end that lm-evaluation-harness would cut.

        It leaves room for all new tokens. An engine leaves one less, for the last one is never fed back.
        """
        room = self._context_tokens - options.max_new_tokens
        if isinstance(self._engine, Tokenizing) and room > 0:
            ids = self._engine.tokenizer().encode(context, special=True)
            if len(ids) > room:
                return TokenPrompt(ids[-room:])
        return TextPrompt("", (), context)

    def _score(self, pairs: Sequence[Pair], kind: str) -> Iterable[Likelihood]:
        if any(not pair.continuation for pair in pairs):
            raise EngineError(f"{kind}: a continuation has no tokens, so it has no log-probability")
        grouped = group(pairs)
        completions = self._ask(grouped.requests, kind)
        if alone := asked_alone(grouped.requests, completions):
            completions |= self._ask(alone, kind)
        if any(len(one.choice_is_greedy) != len(one.choice_logprobs) for one in completions.values()):
            raise EngineError(
                f"engine {self._engine.name!r} does not say whether a continuation is the greedy one, "
                "as lm-eval asks for"
            )
        return likelihoods(grouped.places, completions)

    def _ask(self, requests: Sequence[Request], kind: str) -> dict[str, Completion]:
        """Return the completion of every request by its id.

        Raises: EngineError when one failed or has none, after all were asked.
        """
        asked = {request.id for request in requests}
        completions: dict[str, Completion] = {}
        for batch in self._engine.complete(requests, batch_size=self._spec.batch_sizes[0][0]):
            completions.update({completion.request_id: completion for completion in batch})
            self._tell(len(completions), len(requests), f"{kind} requests")
        if unasked := completions.keys() - asked:
            raise EngineError(f"engine {self._engine.name!r} answered {min(unasked)!r}, which was not asked")
        problems = [one.error for one in completions.values() if one.error is not None]
        problems += ["the engine gave no answer"] * len(asked - completions.keys())
        if problems:
            raise EngineError(
                f"{len(problems)} of {len(requests)} {kind} requests failed, so lm-eval gets no answers: "
                f"{problems[0]}"
            )
        return completions

    def _tokenizer(self, purpose: str) -> Tokenizer:
        if not isinstance(self._engine, Tokenizing):
            raise PrerequisiteError(
                f"engine {self._engine.name!r} offers no tokenizer, and for {purpose} one is needed; "
                "use another engine"
            )
        return self._engine.tokenizer()
