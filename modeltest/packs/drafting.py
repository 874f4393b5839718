"""Questions of a pack from the runs of the reference that asked them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256

from modeltest.api import (
    Completion,
    Computation,
    ModelInfo,
    PackAnswer,
    PackModel,
    PackQuestion,
    PackTask,
    Record,
    Request,
    Role,
    RunResult,
    Sample,
    Score,
    SpecError,
)
from modeltest.packs.lines import question_id

_OF_TOKENIZERS = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens*",
    "vocab*",
    "merges*.txt",
    "chat_template*",
    "*.jinja",
    "*.model",
    "*.tiktoken",
    "*.spm",
    "*.bpe",
    "*.vocab",
)
"""Files that decide which ids a text has, and how a conversation is laid out."""


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A complete run of the reference, with what it asked made again from its dataset."""

    place: str
    """Its directory, for messages."""

    result: RunResult
    asked: Mapping[str, tuple[Record, Request, str]]
    """By the id of a record: it, its request, and the digest of its prompt."""

    subjects: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class DraftedTask:
    """A task of a pack with its questions and the reference's answers."""

    task: PackTask
    questions: tuple[PackQuestion, ...]
    answers: tuple[PackAnswer, ...]
    whole: tuple[tuple[PackQuestion, Request], ...]
    """The questions whose prompts the reference read uncut, each as it was asked."""


def drafted(run: AskedRun) -> DraftedTask:
    """Return what a run gives to a pack.

    Raises: SpecError when an answer is missing, failed, or is of another prompt than the dataset has now, and
    where the engine did not tell token ids.
    """
    result = run.result
    dataset = result.dataset
    if dataset is None:
        raise SpecError(f"{run.place} has no questions to make a reference pack of")
    pairs, whole, seen, left_out = [], [], set(), 0
    for sample in result.samples:
        seen.add(sample.score.request_id)
        if sample.completion.replaced_tokens:
            left_out += 1
            continue
        pairs.append(_drafted(run, sample))
        if not sample.completion.dropped_shots and not sample.completion.cut_prompt_tokens:
            whole.append((pairs[-1][0], run.asked[sample.score.request_id][1]))
    _refuse_incomplete(run, seen, bool(pairs))
    of_pack = PackTask(
        task=result.spec.task,
        spec=result.spec,
        protocol_version=result.protocol_version,
        dataset=dataset,
        subjects=run.subjects,
        questions=len(pairs),
        left_out=left_out,
    )
    place = {name: number for number, name in enumerate(run.asked)}
    pairs.sort(key=lambda pair: place[pair[0].record.id])
    questions, answers = zip(*pairs, strict=True)
    return DraftedTask(of_pack, questions, answers, tuple(whole))


def refuse_other_models(runs: Iterable[AskedRun]) -> None:
    """Refuse runs that are not of one model, computed in one way, or that ask one task twice.

    Raises: SpecError naming two of them.
    """
    first: AskedRun | None = None
    tasks: dict[str, str] = {}
    for run in runs:
        first = first or run
        then, now = _facts(first.result), _facts(run.result)
        for name in then:
            if then[name] != now[name]:
                raise SpecError(
                    f"{run.place} is no run of the same reference as {first.place}: {name} is {now[name]}, "
                    f"there it is {then[name]}"
                )
        task = run.result.spec.task
        if task in tasks:
            raise SpecError(
                f"{tasks[task]} and {run.place} both ask {task!r}; a reference pack has each task once"
            )
        tasks[task] = run.place


def computation_of(name: str, role: Role, result: RunResult, **fields: str | None) -> Computation:
    """Return who gave the answers of a run.

    Raises: SpecError for a run that ended before it had an engine.
    """
    engine = result.engine
    if engine is None:
        raise SpecError(f"the run for {name!r} has no engine; it ended before there was one")
    conditions = {key: value for key, value in fields.items() if value is not None and key != "fault"}
    return Computation(
        name=name,
        role=role,
        engine=engine.engine,
        dtype=engine.dtype,
        device=engine.device,
        batch_size=result.spec.batch_sizes[0][0],
        versions=engine.versions,
        options={**result.spec.engine_options, **conditions},
        fault=fields.get("fault"),
    )


def pack_model(model: ModelInfo) -> PackModel:
    """Return what a pack says of its checkpoint."""
    return PackModel(
        name=model.label,
        model_type=model.model_type,
        dtype=model.dtype,
        fingerprint=model.fingerprint,
        tokenizer_sha256=tokenizer_digest(model.files),
    )


def tokenizer_digest(files: Mapping[str, str]) -> str | None:
    """Return the sha256 of the files of a tokenizer among `files` with their digests; `None` without any."""
    lines = [f"{name} {digest}\n" for name, digest in sorted(files.items()) if _is_of_tokenizer(name)]
    return sha256("".join(lines).encode()).hexdigest() if lines else None


def _drafted(run: AskedRun, sample: Sample) -> tuple[PackQuestion, PackAnswer]:
    """Return a question and its answer.

    Raises: SpecError.
    """
    score, completion = sample.score, sample.completion
    name = score.request_id
    if score.error is not None:
        raise SpecError(
            f"{run.place}: question {name!r} failed ({score.error:.200}); a reference answers all"
        )
    if name not in run.asked or run.asked[name][2] != sample.prompt_sha256:
        raise SpecError(
            f"{run.place}: question {name!r} is not what the dataset asks now; bring its files back as they "
            "were, or run it again"
        )
    record, request, _ = run.asked[name]
    if not completion.prompt_tokens or len(completion.choice_tokens) != len(request.choices):
        raise SpecError(
            f"{run.place}: its engine does not tell the token ids of a prompt, which a pack is made of; make "
            "the reference with an engine that reads the checkpoint itself, such as hf"
        )
    task = run.result.spec.task
    question = PackQuestion(
        id=question_id(task, record.id),
        task=task,
        record=record,
        prompt=completion.prompt_tokens,
        choices=completion.choice_tokens,
        max_new_tokens=request.max_new_tokens,
        stop=request.stop,
        first_character_only=request.first_character_only,
    )
    return question, answer_to(question, score, completion)


def answer_to(question: PackQuestion, score: Score, completion: Completion) -> PackAnswer:
    """Return what a pack keeps of an answer to a question."""
    tokens = completion.output_tokens
    is_told = not question.choices and completion.output_count is None and (tokens or not completion.text)
    return PackAnswer(
        question.id,
        completion.choice_logprobs if question.choices else (),
        score.predicted,
        score.correct,
        score.margin,
        output=tokens if is_told else None,
    )


def _refuse_incomplete(run: AskedRun, seen: set[str], has_questions: bool) -> None:
    missing = [name for name in run.asked if name not in seen]
    if missing:
        raise SpecError(
            f"{run.place} has no answer to {missing[0]!r} and {len(missing) - 1} more questions; go on with "
            f"it first: modeltest run --resume {run.place}"
        )
    if not has_questions:
        raise SpecError(
            f"{run.place}: the choices of every question merge with the end of its prompt, so that token ids "
            "cannot ask them; ask with --protocol lm-eval"
        )


def _facts(result: RunResult) -> dict[str, object]:
    return dict(_named_facts(result))


def _named_facts(result: RunResult) -> Iterator[tuple[str, object]]:
    yield "the fingerprint of the weights", result.model.fingerprint
    yield "the engine", result.adapter
    yield "its dtype", result.engine and result.engine.dtype
    yield "its device", result.engine and result.engine.device
    yield "its versions", result.engine and dict(result.engine.versions)
    yield "the chat template in use", result.spec.chat


def _is_of_tokenizer(name: str) -> bool:
    return any(fnmatchcase(name.rpartition("/")[2], pattern) for pattern in _OF_TOKENIZERS)
