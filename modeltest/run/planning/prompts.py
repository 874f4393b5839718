"""The prompts of a measurement that are not random: read before the model is loaded, made token ids after."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    ChatPrompt,
    DatasetInfo,
    Engine,
    MeasurementTask,
    PrerequisiteError,
    Prompt,
    PromptedTask,
    RunSpec,
    SpecError,
    Task,
    TaskOptions,
    TextPrompt,
    Tokenizer,
    Tokenizing,
    TokenPrompt,
)
from modeltest.data.card import load_card
from modeltest.data.customize import CARD, load_customize
from modeltest.data.load import load_dataset
from modeltest.data.loaded import FULL, LoadedDataset
from modeltest.tasks.given_prompts import is_list, parse_prompts
from modeltest.tasks.prompt_sources import GivenPrompts
from modeltest.tasks.prompts import lay_out
from modeltest.tasks.shapes import combinations

_STAND_IN = (0,)
"""A text before anything can tokenize it: at least one token long."""


@dataclass(frozen=True, slots=True)
class ReadPrompts:
    """What was read, and the dataset if it came from one."""

    prompts: Collection[Prompt]
    dataset: DatasetInfo | None = None


def check_prompts(spec: RunSpec, task: Task, engine: Engine) -> None:
    """Refuse what can be refused before anything is loaded; datasets are not read.

    Raises: SpecError for prompts that are none or do not suit the cases; PrerequisiteError for texts that the
    engine has no tokenizer for.
    """
    if not isinstance(task, PromptedTask):
        return
    needs_tokenizer = spec.options.prompt_source is not None
    if spec.options.prompt_input is not None:
        given = _given(spec.options.prompt_input, chat=spec.chat)
        needs_tokenizer = not all(isinstance(prompt, TokenPrompt) for prompt in given)
        rows = tuple(prompt.ids if isinstance(prompt, TokenPrompt) else _STAND_IN for prompt in given)
        for combination in combinations(spec):
            GivenPrompts(rows).inputs_of(combination)
    if needs_tokenizer and not isinstance(engine, Tokenizing):
        raise PrerequisiteError(
            f"engine {engine.name!r} has no tokenizer to make token ids of texts; give prompts of token ids"
        )


def read_prompts(spec: RunSpec, task: Task) -> ReadPrompts | None:
    """Return the prompts that `spec` names for `task`; `None` when it makes its own.

    Raises: SpecError, DatasetError.
    """
    options = spec.options
    if not isinstance(task, PromptedTask):
        return None
    if options.prompt_source is not None:
        return _of_dataset(options.prompt_source.dataset, spec)
    if options.prompt_input is not None:
        return ReadPrompts(_given(options.prompt_input, chat=spec.chat))
    return None


def with_prompts(task: MeasurementTask, read: ReadPrompts | None, engine: Engine) -> MeasurementTask:
    """Return `task` with the prompts that were read for it as token ids of the loaded `engine`.

    Raises: SpecError for a chat without a chat template, and for a prompt of no tokens.
    """
    if read is None or not isinstance(task, PromptedTask):
        return task
    return task.with_prompts(tuple(_tokenized(read.prompts, engine)))


def _of_dataset(name: str, spec: RunSpec) -> ReadPrompts:
    if name == CARD.name:
        loaded, field = load_customize(spec.data_dir, limit=spec.limit), CARD.prompt_field
    else:
        loaded = load_dataset(name, FULL, data_dir=spec.data_dir, subjects=spec.subjects, limit=spec.limit)
        field = load_card(name).prompt_field
    if field is None:
        return ReadPrompts(_of_task(name, loaded, spec), loaded.info)
    texts = (record.fields[field] for record in loaded.data.records)
    return ReadPrompts([lay_out("", (), text, chat=spec.chat) for text in texts], loaded.info)


def _of_task(name: str, loaded: LoadedDataset, spec: RunSpec) -> list[Prompt]:
    """Return the prompts as the accuracy task of the dataset asks them, without shots."""
    task = registry.load_task(name)
    if not isinstance(task, AccuracyTask):
        raise SpecError(
            f"nothing says what the prompts of dataset {name!r} are: its card has no prompt_field"
        )
    asked = replace(spec, task=name, options=TaskOptions())
    return [request.prompt for request in task.requests(loaded.data, asked)]


def _given(text: str, *, chat: bool) -> list[Prompt]:
    where = "the list of prompts"
    if not is_list(text):
        text, where = _read(Path(text).expanduser()), f"the file {text}"
    return [
        lay_out("", (), prompt, chat=chat) if isinstance(prompt, str) else TokenPrompt(prompt)
        for prompt in parse_prompts(text, where=where)
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"the file {path} is not UTF-8; expected a list of prompts as text") from None
    except OSError as problem:
        raise SpecError(
            f"the prompts cannot be read from {path}: {problem.strerror}; "
            'give a list such as [1,2,3] or ["hello"] in quotes, or a file that holds one'
        ) from None


def _tokenized(prompts: Iterable[Prompt], engine: Engine) -> Iterable[TokenPrompt]:
    tokenizer = engine.tokenizer() if isinstance(engine, Tokenizing) else None
    for index, prompt in enumerate(prompts):
        if isinstance(prompt, TokenPrompt):
            yield prompt
            continue
        assert tokenizer is not None  # check_prompts has refused the others
        ids = _encode(prompt, tokenizer)
        if not ids:
            raise SpecError(f"prompt {index} has no tokens; leave it out")
        yield TokenPrompt(ids)


def _encode(prompt: TextPrompt | ChatPrompt, tokenizer: Tokenizer) -> tuple[int, ...]:
    if isinstance(prompt, TextPrompt):
        return tokenizer.encode(prompt.text, special=True)
    # The template writes the special tokens itself.
    return tokenizer.encode(tokenizer.lay_out(prompt.turns, generation_prompt=True), special=False)
