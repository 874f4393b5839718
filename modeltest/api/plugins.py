"""What a plug-in must be: engines, tasks and reports, found by name through entry points."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from modeltest.api.exchange import Completion, Measurement, Record, Request, TokenPrompt, Trial, Turn
from modeltest.api.facts import EngineInfo, EngineUsage, ModelInfo
from modeltest.api.results import HarnessAnswers, RunResult, Sample, Score, Summary
from modeltest.api.spec import RunSpec


class Capability(str, Enum):
    """What an engine can do and a task may require."""

    GENERATE = "generate"
    CHOICE_LOGPROBS = "choice_logprobs"
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


class Argument(str, Enum):
    """A word that follows a mode in the `run.sh` grammar."""

    SHOTS = "shots"
    BATCH = "batch"
    CASES = "cases"
    RANGES = "ranges"
    LIMIT_MS = "limit_ms"
    CONTEXT = "context"
    PROMPT = "prompt"
    PREFILL = "prefill"
    """The optional words of `performance`: prefill batch, `prefill_length`, `dataset`."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode word of the `run.sh` grammar, the task behind it and the words that follow it."""

    word: str
    task: str
    split: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class TaskData:
    """The records a task works on and the examples it may show before them."""

    records: Collection[Record]
    """The questions; they may be read from a file at each iteration."""

    shots: Mapping[str, Sequence[Record]]
    """Examples by subject, in file order."""

    subjects: Mapping[str, Mapping[str, str]]
    """What the dataset card says of each subject: names, category, groups."""


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
        `Following`, is refused without asking it.

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
class Reusable(Protocol):
    """What an engine may offer beside `Engine` that can serve another run with the model it has loaded."""

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Get ready for the next run and return what `load` would, without the time of loading.

        What earlier requests left in memory is freed, what is random is seeded anew, peaks of memory begin
        anew. Counts of `usage` go on: the caller takes the difference. `spec` asks for the same engine,
        weights, dtype, device, ranks, context and engine options as the one that was loaded.

        Raises: EngineError; DeviceError when only a fresh process will do.
        """


@runtime_checkable
class Task(Protocol):
    """What is common to all tasks."""

    name: str
    title: str
    modes: tuple[Mode, ...]

    def check(self, spec: RunSpec) -> None:
        """Refuse options the task cannot honour, before anything is loaded.

        Raises: SpecError, PrerequisiteError.
        """

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the engine must be capable of."""


@runtime_checkable
class AccuracyTask(Task, Protocol):
    """Asks every record once and scores the answers. Pure: no I/O, no state between calls."""

    dataset: str
    protocols: Mapping[str, str]
    """Version of each protocol the task can follow, by its name."""

    def requests(self, data: TaskData, spec: RunSpec) -> Iterator[Request]:
        """Yield one request per record, its id the record's."""

    def score(self, record: Record, data: TaskData, completion: Completion, spec: RunSpec) -> Score:
        """Judge one completion."""

    def summarize(self, samples: Iterable[Sample], data_subjects: Mapping[str, Mapping[str, str]]) -> Summary:
        """Turn the scores into the headline numbers."""


@runtime_checkable
class SelfChecking(Protocol):
    """What an accuracy task may offer whose journalled scores can be held against themselves."""

    def contradiction(self, spec: RunSpec, score: Score, choice_logprobs: Sequence[float]) -> str | None:
        """Return what in the score of an answered question cannot be by the task's own rule, or `None`.

        It is asked for every line that is read, so it looks at what is given and computes little.
        """


@runtime_checkable
class MeasurementTask(Task, Protocol):
    """Decides which batches to time. Pure: it yields trials and is sent what they gave.

    A resumed run sends the journalled measurements first, so `trials` must be deterministic.
    """

    def trials(self, spec: RunSpec, engine: EngineInfo) -> Generator[Trial, Measurement, None]:
        """Yield trials; each `yield` evaluates to that trial's measurement."""

    def summarize_measurements(
        self, measurements: Iterable[Measurement], spec: RunSpec, engine: EngineInfo | None = None
    ) -> Summary:
        """Turn the measurements into the headline numbers; `engine` is what gave them, where it is known."""


@runtime_checkable
class PromptedTask(MeasurementTask, Protocol):
    """A measurement task whose prompts may be given: rows of a dataset, or prompts of the user.

    `RunSpec.options.prompt_source` or `prompt_input` names them. The worker reads them before the model is
    loaded, makes token ids of them with its tokenizer and asks the task that `with_prompts` returns; so tasks
    stay pure, and a resumed run hands over the same.
    """

    def with_prompts(self, prompts: Sequence[TokenPrompt]) -> MeasurementTask:
        """Return this task with `prompts`, in the order of the dataset or the list."""


Tell = Callable[[int, int, str], None]
"""Called with how much is done, of how much, in which unit."""


class Evaluation(Protocol):
    """A harness's evaluation that has all it needs but a loaded model."""

    def run(self, engine: Engine, info: EngineInfo, *, directory: Path, tell: Tell) -> None:
        """Ask `engine`, score, and write the harness's own files into `directory`.

        Raises: EngineError when a request failed: a harness that knows no failed answers gives no numbers.
        """


@runtime_checkable
class HarnessTask(Task, Protocol):
    """Another harness: it reads its own datasets, asks an engine and scores the answers by itself."""

    goes_on: bool
    """Whether its evaluation goes on with the files that a killed one left in the run directory."""

    def environment(self, spec: RunSpec) -> Mapping[str, str]:
        """Return variables of the worker that take precedence over the engine's."""

    def prepare(self, spec: RunSpec, engine: Engine) -> Evaluation:
        """Read what is to be asked, before `engine` loads its model.

        Raises: SpecError, PrerequisiteError, DatasetError.
        """

    def summarize_files(self, directory: Path) -> Summary:
        """Turn the files the harness wrote into the headline numbers."""


@runtime_checkable
class KeepingAnswers(Protocol):
    """What a harness may offer beside `HarnessTask` whose files say how each question was answered."""

    def kept_answers(self, directory: Path) -> HarnessAnswers:
        """Return the answers of the run in `directory`, to be compared with those of another in pairs.

        Raises: SpecError where the run kept none; ModelTestError when a file is damaged.
        """


@runtime_checkable
class Report(Protocol):
    """Writes one kind of file from a result."""

    name: str

    def accepts(self, result: RunResult) -> bool:
        """Say whether this report has anything to write for `result`."""

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file or files atomically and return their paths."""


@runtime_checkable
class WithoutTokens(Protocol):
    """What the samples of a result offer that are cheaper to go through once more without their token ids."""

    def without_tokens(self) -> Iterable[Sample]:
        """Return the samples, each without `prompt_tokens`, `output_tokens` and `choice_tokens`."""


@runtime_checkable
class Preparing(Protocol):
    """What a report offers beside `Report` that imports large packages."""

    def prepare(self) -> None:
        """Import them: called from a thread of its own while a run that needs them waits for its model."""


@runtime_checkable
class OnRequest(Protocol):
    """What a report offers beside `Report` that is written only where it is asked for by its name."""

    def refusal(self, result: RunResult) -> str | None:
        """Return why `result` cannot give this report; `None` where it can."""
