"""What a task must be, and what it may offer beside; found by name through entry points."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from modeltest.api.engine import Capability, Engine
from modeltest.api.exchange import Completion, Measurement, Record, Request, TokenPrompt, Trial
from modeltest.api.facts import EngineInfo, ModelInfo
from modeltest.api.modes import Mode
from modeltest.api.results import HarnessAnswers, Sample, Score, Summary
from modeltest.api.spec import RunSpec


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


class Inquiry(Protocol):
    """The questions of a `SequentialTask`, opened for one run."""

    most: int
    """How many questions it may ask."""

    def windows(self) -> Generator[Sequence[Request], Sequence[Sample], None]:
        """Yield the questions to ask next; each `yield` evaluates to their samples, in the order asked.

        A resumed run sends the journalled samples first, so what is asked depends on nothing but these.
        """

    def score(self, completion: Completion) -> Score:
        """Judge one completion."""


@runtime_checkable
class SequentialTask(Task, Protocol):
    """Asks questions that a file holds until it knows enough; the order is its own."""

    def open(self, spec: RunSpec, capabilities: Collection[Capability], model: ModelInfo) -> Inquiry:
        """Read what is to be asked of `model`, which was loaded, and of an engine that is capable of this.

        Raises: SpecError when the file is none of its kind, or another than the run began with.
        """

    def summarize_answers(self, samples: Iterable[Sample], spec: RunSpec, model: ModelInfo) -> Summary:
        """Turn the answers of `model`, in the order of the journal, into what they come to.

        Raises: SpecError as `open` does.
        """


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
