"""What a task and an engine say to each other: records, requests and completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

OPTION_LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J")
"""The fields of a record that hold the options of a multiple-choice question: the first two at least, without
a gap. Its field `answer` is one of them."""

FEWEST_OPTIONS = 2


@dataclass(frozen=True, slots=True)
class Record:
    """One dataset row. `id` is unique in the dataset; `fields` holds its columns as text."""

    id: str
    subject: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A prompt as text: header, worked examples, question; read in that order without separators.

    The parts stay apart so that an engine may drop whole shots from a prompt that is too long.
    """

    header: str
    shots: tuple[str, ...]
    question: str

    @property
    def text(self) -> str:
        """The whole prompt."""
        return self.header + "".join(self.shots) + self.question


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A prompt as conversation, to be laid out by the model's chat template."""

    header: tuple[Turn, ...]
    shots: tuple[tuple[Turn, ...], ...]
    question: tuple[Turn, ...]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The whole conversation."""
        return (*self.header, *(turn for shot in self.shots for turn in shot), *self.question)


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A prompt as token ids, used as they are."""

    ids: tuple[int, ...]


Prompt = TextPrompt | ChatPrompt | TokenPrompt


class ChoiceRule(str, Enum):
    """How the log-probability of a choice is read from the model."""

    CONTINUATION = "continuation"
    """Sum over the choice's tokens given the prompt, split as lm-evaluation-harness splits them."""

    LAST_TOKEN = "last_token"
    """Only the last token of prompt + choice, at the last prompt position (MindIE's BoolQ rule)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    With `choices`, the engine returns one log-probability per choice; with `max_new_tokens` above zero it
    generates greedily until a stop text, the end of text (unless `ignore_eos`) or the limit.
    """

    id: str
    prompt: Prompt
    max_new_tokens: int = 0
    choices: tuple[str | tuple[int, ...], ...] = ()
    """Continuations as text, or as token ids that are used as they are."""

    choice_rule: ChoiceRule = ChoiceRule.CONTINUATION
    each_token: bool = False
    """Also return the log-probability of every token of the choices: of an engine that has `TOKEN_LOGPROBS`.

    The prompt and the choices are token ids then, and the rule is `CONTINUATION`.
    """

    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    first_character_only: bool = False
    """Only the first non-blank character of the answer will be read: an engine may stop once it is known."""

    only_end_timed: bool = False
    """Of a timed batch: no time is taken before its last token, which says what taking them costs."""

    adapter: str | None = None
    """The LoRA adapter that is to answer, of an engine capable of `LORA`; `None`: the model as it is."""


class Finish(str, Enum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to the request of the same id.

    `token_times_ns[i]` is the time from the submission of the batch until output token `i` was on the host.
    `end_ns` is that of the last token, of a request with `only_end_timed`, which has no other times.
    A completion with `error` carries nothing else that may be trusted.
    """

    request_id: str
    text: str | None = None
    prompt_tokens: tuple[int, ...] = ()
    output_tokens: tuple[int, ...] = ()
    choice_tokens: tuple[tuple[int, ...], ...] = ()
    replaced_tokens: tuple[int, ...] = ()
    """By choice, how many tokens at the prompt's end its own take the place of; empty: none does."""

    choice_logprobs: tuple[float, ...] = ()
    choice_is_greedy: tuple[bool, ...] = ()
    """Whether greedy decoding would have said the choice, for engines that know."""

    token_logprobs: tuple[tuple[float, ...], ...] = ()
    """Of each token of each choice given all before it, in nats; their sums are `choice_logprobs`.

    Of requests with `each_token` alone.
    """

    output_count: int | None = None
    """How many output tokens there were, of a server that does not say which."""

    token_times_ns: tuple[int, ...] = ()
    end_ns: int | None = None
    sent_ns: int | None = None
    """Of a timed request to a server: from the submission of the batch until it was written."""

    first_byte_ns: int | None = None
    """Of a timed request to a server: until the first byte of its answer was read."""

    finish: Finish | None = None
    dropped_shots: int = 0
    cut_prompt_tokens: int = 0
    error: str | None = None

    @property
    def output_length(self) -> int:
        """How many output tokens there were, whether or not they are known."""
        return len(self.output_tokens) if self.output_count is None else self.output_count


@dataclass(frozen=True, slots=True)
class TrialPrompts:
    """What is to be said of prompts of a trial that are not random token ids of the case's length."""

    lengths: tuple[int, ...]
    """Tokens of each row's prompt."""

    available: int
    """How many prompts there are for the case to choose from."""

    notes: tuple[str, ...] = ()
    """What of the prompts was cut, lengthened or asked again."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One timed batch to run: all requests submitted together."""

    case_index: int
    batch_size: int
    trial: int
    phase: str
    requests: tuple[Request, ...] = field(repr=False)
    prompts: TrialPrompts | None = None
    """`None`: random token ids."""

    keeps_text: bool = False
    """The journal keeps prompts and texts instead of times."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a `Trial` gave. `error` is set when the batch failed; `out_of_memory` when it did not fit.

    `peak_memory_bytes` is the engine's: of its device, or of the process where it has none;
    `peak_host_memory_bytes` that of the process which drives the engine.
    """

    case_index: int
    batch_size: int
    trial: int
    phase: str
    completions: tuple[Completion, ...] = field(repr=False)
    peak_memory_bytes: int | None = None
    peak_host_memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    """What the peak could have reached, as the engine said after loading."""

    inputs_sha256: str | None = None
    prompts: TrialPrompts | None = None
    out_of_memory: bool = False
    error: str | None = None
