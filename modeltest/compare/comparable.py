"""What must be equal for two runs to be compared, what may differ, and what does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from modeltest.api import (
    AccuracySummary,
    Finding,
    FindingCode,
    HarnessSummary,
    RunDifference,
    RunResult,
    RunStatus,
    SpecError,
    Verdict,
)
from modeltest.compare.answers import Answer
from modeltest.plain.contracts import to_plain

ALLOWABLE = (
    "dataset",
    "protocol",
    "shots",
    "chat",
    "questions",
    "prompts",
    "generation",
    "cases",
    "search",
    "device",
    "partial",
    "invalid",
    "noisy",
)
"""The categories that `--allow` takes."""

ALL = "all"
"""The word for all of them."""

TASK = "task"
"""The one category that cannot be allowed."""

_SHOWN_CHARACTERS = 60


class NotComparableError(SpecError):
    """The runs differ in something that makes a comparison mean something else; each has a line."""

    has_lines = True


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known of a run; `category` is empty where it may differ."""

    category: str
    name: str
    read: Callable[[RunResult], object]


def _dataset(field: str) -> Callable[[RunResult], object]:
    return lambda run: getattr(run.dataset, field, None)


def _engine(field: str) -> Callable[[RunResult], object]:
    return lambda run: getattr(run.engine, field, None)


def _option(field: str) -> Callable[[RunResult], object]:
    return lambda run: getattr(run.spec.options, field)


def _generation(run: RunResult) -> object:
    options = run.spec.options.generation
    return None if options is None else [options.max_new_tokens, options.stop, to_plain(options.sampling)]


def _lm_eval(field: str) -> Callable[[RunResult], object]:
    return lambda run: getattr(run.spec.options.lm_eval, field, None)


def _prompts_asked(run: RunResult) -> object:
    options = run.spec.options.generation
    return None if options is None else [options.input_texts, options.input_file, options.repeat]


def _task(run: RunResult) -> object:
    """Return the task: of a task file what stands in it counts, and not where it lies."""
    if run.spec.task_file is None:
        return run.spec.task
    return ", ".join(f"file {name} (sha256 {digest:.12})" for name, digest in run.task_files.items())


_COMMON = (
    Fact(TASK, "task", _task),
    Fact("dataset", "dataset", _dataset("name")),
    Fact("dataset", "split", _dataset("split")),
    Fact("dataset", "dataset sha256", _dataset("sha256")),
    Fact("chat", "chat", lambda run: run.spec.chat),
)

_OF_ACCURACY = (
    Fact("protocol", "protocol", lambda run: run.spec.protocol),
    Fact("protocol", "protocol version", lambda run: run.protocol_version),
    Fact("shots", "shots", lambda run: run.spec.options.shots or 0),
    Fact("questions", "subjects", lambda run: sorted(run.spec.subjects)),
    Fact("questions", "limit per subject", lambda run: run.spec.limit),
)

_OF_GENERATION = (
    Fact("generation", "generation options", _generation),
    Fact("prompts", "prompts", _prompts_asked),
)

_OF_SHAPES = (
    Fact("cases", "cases", lambda run: sorted(map(_shape, run.spec.cases))),
    Fact("prompts", "prompts of a dataset", _option("prompt_source")),
    Fact("prompts", "prompts given", _option("prompt_input")),
)

_OF_TIMES = (
    *_OF_SHAPES,
    Fact("cases", "prefill batch size", _option("prefill_batch_size")),
    Fact("cases", "prefill length", _option("prefill_length")),
    Fact("device", "device", _engine("device")),
    Fact("device", "ranks", lambda run: run.spec.world_size),
    Fact("device", "processor", lambda run: run.machine.get("processor")),
    Fact("device", "processors", lambda run: run.machine.get("cpus")),
    Fact("device", "memory of the machine", lambda run: run.machine.get("memory_bytes")),
)

_BATCHES = Fact("cases", "batch sizes", lambda run: run.spec.batch_sizes)

_OF_HARNESS = (
    Fact("shots", "shots", _option("shots")),
    Fact("questions", "limit per task", lambda run: run.spec.limit),
    Fact("protocol", "task files (sha256)", lambda run: dict(run.task_files)),
    Fact("prompts", "system instruction", _lm_eval("system_instruction")),
    Fact("prompts", "a turn per shot", _lm_eval("fewshot_as_multiturn")),
    Fact("generation", "generation options", _lm_eval("gen_kwargs")),
)

_FACTS: Mapping[str, Sequence[Fact]] = {
    "accuracy": (*_COMMON, *_OF_ACCURACY),
    "harness": (*_COMMON, *_OF_HARNESS),
    "generation": (*_COMMON, *_OF_GENERATION),
    "precision": (*_COMMON, *_OF_SHAPES, _BATCHES),
    "performance": (*_COMMON, *_OF_TIMES, _BATCHES),
    "max_batch": (
        *_COMMON,
        *_OF_TIMES,
        Fact("search", "latency limit in ms", _option("latency_limit_ms")),
        Fact("search", "range of batch sizes", _option("batch_ranges")),
    ),
}

_FREE = (
    Fact("", "model", lambda run: run.model.label),
    Fact("", "weights (fingerprint)", lambda run: run.model.fingerprint),
    Fact("", "quantisation", lambda run: run.model.quantize),
    Fact("", "engine word", lambda run: run.spec.engine),
    Fact("", "engine plug-in", lambda run: run.adapter),
    Fact("", "device", _engine("device")),
    Fact("", "dtype", _engine("dtype")),
    Fact("", "context in tokens", _engine("context_tokens")),
    Fact("", "ranks", lambda run: run.spec.world_size),
    Fact("", "batch size", lambda run: run.spec.batch_sizes),
    Fact("", "quick", lambda run: run.spec.quick),
    Fact("", "seed", lambda run: run.spec.seed),
    Fact("", "ModelTest", lambda run: run.modeltest_version),
    Fact("", "version of the harness", lambda run: getattr(run.summary, "version", None)),
    Fact("", "libraries", lambda run: dict(run.engine.versions) if run.engine else None),
    Fact("", "engine notes", _engine("notes")),
)


def run_differences(kind: str, reference: RunResult, candidate: RunResult) -> Iterator[RunDifference]:
    """Yield every known fact in which two runs differ, those that stop a comparison of this kind first."""
    stopping = {fact.name for fact in _FACTS[kind]}
    for fact in (*_FACTS[kind], *(fact for fact in _FREE if fact.name not in stopping)):
        one, other = to_plain(fact.read(reference)), to_plain(fact.read(candidate))
        if one != other:
            yield RunDifference(fact.category, fact.name, *_shown(one, other))


def faults(side: str, run: RunResult, *, failed_questions_count: bool) -> Iterator[RunDifference]:
    """Yield why a run has no numbers to compare: it did not come to its end, or its verdict is INVALID.

    Failed questions alone do not count unless `failed_questions_count`: of a candidate they are a finding.
    """
    reasons = "; ".join(run.reasons) or run.error or ""
    if run.status != RunStatus.COMPLETE:
        yield _fault("partial", side, f"{run.status}: {reasons}")
    elif run.verdict is Verdict.INVALID:
        if failed_questions_count or not _failed_alone(run):
            yield _fault("invalid", side, f"INVALID: {reasons}")
    elif run.verdict is None:
        yield _fault("invalid", side, "it has no verdict")


def answer_differences(
    reference: Mapping[str, Answer], candidate: Mapping[str, Answer]
) -> Iterator[RunDifference]:
    """Yield how the questions of two runs differ: which were asked, and with which prompts."""
    common = sorted(set(reference) & set(candidate))
    if len(common) != len(reference) or len(common) != len(candidate):
        yield RunDifference(
            "questions",
            "questions asked",
            f"{len(reference)}, of which {len(reference) - len(common)} were not asked of the other",
            f"{len(candidate)}, of which {len(candidate) - len(common)} were not asked of the other",
        )
    other_prompts = [
        name for name in common if reference[name].prompt_sha256 != candidate[name].prompt_sha256
    ]
    if other_prompts:
        yield _of_questions("prompts", "prompts", other_prompts, len(common))
    cut = [name for name in common if _is_cut_differently(reference[name], candidate[name])]
    if cut:
        yield _of_questions("prompts", "prompts cut to the context", cut, len(common))


def task_differences(reference: RunResult, candidate: RunResult) -> Iterator[RunDifference]:
    """Yield the tasks of another harness that both ran, in different versions."""
    versions = _task_versions(candidate)
    for task, version in _task_versions(reference).items():
        if task in versions and versions[task] != version:
            yield RunDifference("protocol", f"version of {task}", str(version), str(versions[task]))


def prompts_with_tokens(reference: Mapping[str, Answer], candidate: Mapping[str, Answer]) -> list[str]:
    """Return the questions with equal prompts, cut alike, of which both runs say the token ids."""
    return [
        name
        for name, one in sorted(reference.items())
        if name in candidate
        and one.prompt_sha256 == candidate[name].prompt_sha256
        and one.lost == candidate[name].lost
        and one.encoded[0]
        and candidate[name].encoded[0]
    ]


@dataclass(frozen=True, slots=True)
class OtherTokens:
    """How many equal prompts became different tokens, and what to say of it."""

    prompts: int
    finding: Finding


def tokenization_note(reference: Mapping[str, Answer], candidate: Mapping[str, Answer]) -> OtherTokens | None:
    """Return what to say where equal prompts became different tokens: often the cause of everything else."""
    told = prompts_with_tokens(reference, candidate)
    differing = [name for name in told if reference[name].encoded != candidate[name].encoded]
    if not differing:
        return None
    one, other = reference[differing[0]], candidate[differing[0]]
    finding = Finding(
        FindingCode.OTHER_TOKENS,
        {
            "prompts": len(differing),
            "question": differing[0],
            "reference_tokens": one.encoded[0],
            "reference_begins": tuple(one.first_tokens),
            "candidate_tokens": other.encoded[0],
            "candidate_begins": tuple(other.first_tokens),
        },
    )
    return OtherTokens(len(differing), finding)


def refuse(differences: Iterable[RunDifference], allowed: Iterable[str]) -> tuple[RunDifference, ...]:
    """Return the differences that are allowed.

    Raises: NotComparableError naming all that are not.
    """
    stopping = [each for each in differences if each.category]
    accepted = set(allowed)
    refused = [each for each in stopping if each.category not in accepted]
    if refused:
        raise NotComparableError(_refusal(refused))
    return tuple(stopping)


def _refusal(refused: Sequence[RunDifference]) -> str:
    lines = [f"  {each.fact}: {each.reference} | {each.candidate}" for each in refused]
    text = "\n".join(["the runs cannot be compared (reference | candidate):", *lines])
    if any(each.category == TASK for each in refused):
        return f"{text}\nruns of different tasks have nothing to compare"
    names = " ".join(f"--allow {name}" for name in dict.fromkeys(each.category for each in refused))
    return f"{text}\nif that is what you want to compare: {names}"


def _task_versions(run: RunResult) -> dict[str, str | None]:
    summary = run.summary
    return (
        {each.task: each.version for each in summary.metrics} if isinstance(summary, HarnessSummary) else {}
    )


def _fault(category: str, side: str, what: str) -> RunDifference:
    shown = _short(what, 3 * _SHOWN_CHARACTERS)
    return RunDifference(
        category,
        "usable",
        shown if side == "reference" else "-",
        shown if side == "candidate" else "-",
    )


def _of_questions(category: str, fact: str, names: Sequence[str], total: int) -> RunDifference:
    return RunDifference(category, fact, f"{len(names)} of {total} differ", f"such as {names[0]}")


def _failed_alone(run: RunResult) -> bool:
    """Say whether failed questions are all that is wrong with a run: all were asked."""
    summary = run.summary
    if not isinstance(summary, AccuracySummary) or not summary.failed or run.dataset is None:
        return False
    return summary.micro.total == run.dataset.records


def _is_cut_differently(reference: Answer, candidate: Answer) -> bool:
    is_answered = reference.correct is not None and candidate.correct is not None
    return is_answered and reference.lost != candidate.lost


def _shape(case: object) -> str:
    return "x".join(str(value) for value in to_plain(case).values())


def _shown(one: object, other: object) -> tuple[str, str]:
    """Return two values as short texts; of mappings only what differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        one, other = ({name: each.get(name) for name in names} for each in (one, other))
    return _short(one), _short(other)


def _short(value: object, characters: int = _SHOWN_CHARACTERS) -> str:
    if isinstance(value, dict):
        text = ", ".join(f"{name} {item}" for name, item in value.items())
    else:
        text = "-" if value is None else str(value)
    return text if len(text) <= characters else f"{text[: characters - 3]}..."
