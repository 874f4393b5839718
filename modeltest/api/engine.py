"""What an engine must be, and what it may offer beside; found by name through entry points."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from modeltest.api.exchange import Completion, Request, Turn
from modeltest.api.facts import EngineInfo, EngineUsage, ModelInfo
from modeltest.api.spec import RunSpec


class Capability(str, Enum):
    """What an engine can do and a task may require."""

    GENERATE = "generate"
    CHOICE_LOGPROBS = "choice_logprobs"
    TOKEN_LOGPROBS = "token_logprobs"
    """Tells the log-probability of every token of a given continuation: `Request.each_token`."""

    TOKEN_TIMES = "token_times"
    IGNORE_EOS = "ignore_eos"
    PREFILL_LIMITS = "prefill_limits"
    """Honours the prefill batch size and the prefill length of a timed run."""
    SAMPLE = "sample"
    """Draws tokens at random, as `GenerationOptions.sampling` says."""

    LORA = "lora"
    """Answers each request with the LoRA adapter it names."""

    QUANTIZED_WEIGHTS = "quantized_weights"
    """Runs checkpoints of msModelSlim, in the kinds MindIE knows: w8a8, w8a16, ..."""


@runtime_checkable
class Engine(Protocol):
    """Completes requests with a model.

    One instance serves one worker process: one run, or several one after the other if it is `Reusable`. A
    class derived from this one needs a name, `load`, `complete` and `close`; all others have defaults.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset({Capability.GENERATE})
    needs_weights: bool = True

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what the engine cannot run, before a worker starts: world size, quantised weights, options.

        Nothing is refused by default. What an engine is not capable of, and several ranks of one that is not
        `Following` and not `StartingRanks`, is refused without asking it.

        Raises: SpecError, PrerequisiteError.
        """

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return the variables to set before the worker process imports anything heavy; none by default."""
        return {}

    @abstractmethod
    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model.

        Raises: EngineError, PrerequisiteError, SpecError.
        """

    @abstractmethod
    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions batch by batch, in any order; one per request, matched by id.

        At most `batch_size` requests run together. A request that cannot be completed gives a completion
        with `error`; only what ends the whole run is raised. Requests of one `Trial` are submitted in one
        batch and carry `token_times_ns` if the engine is capable of `TOKEN_TIMES`, or `end_ns` alone if they
        are `only_end_timed`, which only an engine that `times_end_alone` is asked for.
        A request with `ignore_eos` is computed whole: nothing of an earlier one is reused for it.

        Raises: EngineError; OutOfMemory when a batch did not fit, after which the engine still works.
        """

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory since the last call: the device's, or the process's where there is none.

        `None` is unknown, which is the default.
        """
        return None

    def usage(self) -> EngineUsage:
        """Return what the engine did so far; by default nothing is counted."""
        return EngineUsage()

    @abstractmethod
    def close(self) -> None:
        """Free the model. Called once, also after an error."""


class Tokenizer(Protocol):
    """The text side of a loaded model, for callers that must cut texts exactly as its engine does."""

    name: str
    chat_template: str | None

    @property
    def prefix_token_id(self) -> int:
        """Stands before a text that has no context: begin of text, else end of text."""

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Return the token ids of `text`; with `special`, also those the model wants in front of a prompt.

        A text that already begins with the prefix token gets none, and nothing stands behind a text.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens are written out."""

    def lay_out(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """Return a conversation as text, open for the next answer, or else within the last turn.

        Raises: SpecError when the checkpoint has no chat template.
        """


@runtime_checkable
class Tokenizing(Protocol):
    """What an engine may offer beside `Engine` once it has loaded."""

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the loaded model."""


@runtime_checkable
class HoldingModule(Protocol):
    """What an engine may offer whose model is a torch module in this process."""

    def module(self) -> Any:
        """Return the loaded model: what is changed in it changes the answers from then on.

        Raises: EngineError before it has loaded one.
        """

    def feed_plainly(self) -> None:
        """From now on let the module compute its own attention, where this engine would in its place.

        Raises: PrerequisiteError when that cannot be.
        """


@runtime_checkable
class NamingModel(Protocol):
    """What an engine may offer beside `Engine` that needs no weights: it asks for a model by a name."""

    def served_model(self, spec: RunSpec) -> ModelInfo:
        """Return what is known of the model that `spec.weights` means, before it is asked; nothing secret.

        Raises: SpecError.
        """


@runtime_checkable
class Demanding(Protocol):
    """What an engine may offer beside `Engine` that does not run on every machine."""

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why the engine can run no model here, or not `spec`; `None` where it can.

        Imports nothing heavy. A word's next engine takes the place of one with an obstacle.
        """


@runtime_checkable
class ServingWords(Protocol):
    """What an engine of another package may offer beside `Engine` that serves engine words of `run.sh`."""

    words: Collection[str]
    """Such as `pa_fp16`. It comes behind the engine that a word means, as MindIE's, and before those that
    stand in for that one. The dtype of a word is in `RunSpec.dtype`."""


@runtime_checkable
class WritingFiles(Protocol):
    """What an engine may offer whose library writes files while it runs."""

    def file_environment(self, spec: RunSpec, directory: Path) -> Mapping[str, str]:
        """Return variables of the worker that make the library write into `directory`.

        It is the run's own, empty when a worker starts, and removed when it has ended.
        """


@runtime_checkable
class Traceable(Protocol):
    """What an engine may offer whose computation the profiler of its device can record."""

    def traced(self, work: Callable[[], None], folder: Path, name: str) -> Path:
        """Do `work`, which asks this engine, under the profiler and return the trace it wrote.

        It is the Chrome trace `name`.json in `folder`, or a folder `name` where the profiler of the device
        writes several files. Of several ranks, the one asked is recorded.

        Raises: PrerequisiteError when it cannot be written; what `work` raises.
        """


@runtime_checkable
class Following(Protocol):
    """What an engine offers beside `Engine` that runs on several ranks: one process each, on one machine.

    All ranks are started at once. Rank 0 alone is asked for completions; its `load` returns when all ranks
    have loaded, and its `close` lets them end.
    """

    def follow(self, spec: RunSpec, model: ModelInfo) -> None:
        """Load this rank's part and do what rank 0 asks until it ends, or until all failed alike.

        Raises: whatever ended this rank but not the others.
        """


@runtime_checkable
class StartingRanks(Protocol):
    """What an engine offers beside `Engine` that starts a process for each of several ranks, or its library.

    The worker is started once, however many ranks the words ask for: `load` starts theirs in its process
    group, `close` ends them, and `EngineInfo.ranks` says how they share the work.
    """

    starts_ranks: Literal[True]


@runtime_checkable
class Reusable(Protocol):
    """What an engine may offer beside `Engine` that can serve another run with the model it has loaded."""

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Get ready for the next run and return what `load` would, without the time of loading.

        What earlier requests left in memory is freed, what is random is seeded anew, peaks of memory begin
        anew. Counts of `usage` go on: the caller takes the difference. `spec` asks for the same engine,
        weights, dtype, device, ranks, context and engine options as the one that was loaded.

        Raises: EngineError; DeviceError when only a fresh process will do.
        """
