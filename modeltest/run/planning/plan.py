"""From a spec to a plan: everything that can be checked without loading the model is checked here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AUTO_WORLD_SIZE,
    MINDIE_KINDS,
    AccuracyTask,
    BringingRows,
    Capability,
    Engine,
    Following,
    HarnessTask,
    ModelInfo,
    NamingModel,
    PrerequisiteError,
    RunSpec,
    SpecError,
    StartingRanks,
    Task,
    dtype_word,
)
from modeltest.cluster.place import check_address, checked_table, node_of
from modeltest.cluster.rank_table import RankTable
from modeltest.grammar.modes import OWN_ENGINES, device_of, engines_of
from modeltest.machine.rank_messages import shared_secret
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.packs.files import pack_digest
from modeltest.run.planning.judges import Judge, ThisPython, judging
from modeltest.run.planning.lora import check_adapters
from modeltest.run.planning.other_python import Interpreter
from modeltest.run.planning.prompts import check_prompts
from modeltest.run.planning.trust import refuse_untrusted_tasks

QUANTIZED_WORDS = ("pa_fp16", "pa_bf16", "fa")


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec that was checked as far as that is possible without loading the model."""

    spec: RunSpec
    task: Task
    engine: Engine
    model: ModelInfo
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Engines that come before the one chosen, and why they cannot serve this run."""

    table: RankTable | None = None
    """Of a run over several nodes."""

    interpreter: Interpreter | None = None
    """What the worker runs in where that is another Python than this one."""

    variables: Mapping[str, str] | None = None
    """Of a worker in another Python, as the engine says there; `None`: it is asked here at each start."""


def plan(spec: RunSpec) -> Plan:
    """Choose the first engine that can serve the run and check everything that needs no model.

    Raises: SpecError, PrerequisiteError, EngineError.
    """
    # From here on the device that the word means is what is asked for: engines need not know words.
    spec = replace(spec, device=spec.device or device_of(spec.engine))
    spec = _with_pack(spec)
    task = registry.task_of(spec)
    _check_mode(spec, task)
    if spec.subjects and isinstance(task, BringingRows):
        raise SpecError(f"the rows of task {task.name!r} are of no subjects; leave out --subject")
    with judging(spec) as judge:
        # Another harness is a package, which only the worker imports; our own tasks are here.
        (judge if isinstance(task, HarnessTask) else ThisPython()).check_task(task, spec)
        refuse_untrusted_tasks(spec)
        table = checked_table(spec)
        if table is not None:
            check_address(spec, table)
            shared_secret(os.environ, len(table.servers))  # the launcher needs it: say so before it starts
        chosen = _chosen(spec, task, judge)
        return replace(chosen, table=table, interpreter=judge.interpreter)


def _chosen(spec: RunSpec, task: Task, judge: Judge) -> Plan:
    """Return the plan with the first engine that can serve it.

    Raises: SpecError, PrerequisiteError, EngineError.
    """
    *others, last = _engines(spec.engine)
    passed_over: dict[str, str] = {}
    tried: set[str] = set()
    for name in others:
        engine = registry.load_engine(name)
        if reason := judge.obstacle(engine, spec):
            passed_over[name] = reason
            continue
        # An engine that is here but cannot do what the task is about is not replaced: the word means it.
        _check_capabilities(spec, task, engine)
        try:
            return replace(_plan_with(engine, spec, task, judge), passed_over=passed_over)
        except PrerequisiteError as problem:
            passed_over[name] = str(problem)
            tried.add(name)
    engine = registry.load_engine(last)
    try:
        _check_capabilities(spec, task, engine)
        return replace(_plan_with(engine, spec, task, judge), passed_over=passed_over)
    except (SpecError, PrerequisiteError) as problem:
        first = next(iter(passed_over), None)
        if first is None or (isinstance(problem, SpecError) and first not in tried):
            raise
        # The words mean the first one: what stands in its way may be what is to be mended.
        raise type(problem)(f"{problem} (not with {first}: {passed_over[first]})") from problem


def _plan_with(engine: Engine, spec: RunSpec, task: Task, judge: Judge) -> Plan:
    check_prompts(spec, task, engine)
    model = inspect_checkpoint(spec) if engine.needs_weights else _no_checkpoint(engine, spec)
    _check_quantized(engine, model)
    if spec.world_size == AUTO_WORLD_SIZE:
        spec = replace(spec, world_size=model.chips)
    _check_cases(spec, model)
    judge.check(engine, spec, model)
    _check_ranks(spec, engine)
    return Plan(spec, task, engine, model, variables=judge.environment(engine, spec, model))


def protocol_version(plan: Plan) -> str | None:
    """Return the version of the protocol that an accuracy task follows; `None` for any other task."""
    task = plan.task
    return task.protocols.get(plan.spec.protocol) if isinstance(task, AccuracyTask) else None


def can_go_on(task: Task) -> bool:
    """Say whether a run of `task` can go on where it was stopped: another harness may keep no journal."""
    return not isinstance(task, HarnessTask) or task.goes_on


def _check_mode(spec: RunSpec, task: Task) -> None:
    """Refuse a mode word that the grammar knows and the task does not serve; a harness has no words at all.

    Raises: PrerequisiteError.
    """
    words = [mode.word for mode in task.modes]
    if words and spec.mode not in words:
        raise PrerequisiteError(
            f"mode {spec.mode!r} is not available yet; of {task.name}: {', '.join(words)}"
        )


def run_name(plan: Plan) -> str:
    """Return what a run's directory is called, after its time: with the precision of quantised weights."""
    spec, model = plan.spec, plan.model
    label = dtype_word(spec.dtype or model.dtype, model.quantize) if model.quantize else ""
    node = f"node{node_of(spec)}" if node_of(spec) else ""
    return "_".join(part for part in (spec.mode, model.name, label, plan.engine.name, node) if part)


def _check_quantized(engine: Engine, model: ModelInfo) -> None:
    """Refuse weights of MindIE's kinds where the engine cannot run them; it judges others itself.

    Raises: PrerequisiteError.
    """
    if model.quantize in MINDIE_KINDS and Capability.QUANTIZED_WEIGHTS not in engine.capabilities:
        raise PrerequisiteError(
            f"{model.path} is {model.quantize}, which engine {engine.name!r} cannot run; the words "
            f"{', '.join(QUANTIZED_WORDS)} can where MindIE is installed, or give the float checkpoint"
        )


def _check_capabilities(spec: RunSpec, task: Task, engine: Engine) -> None:
    """Refuse a task whose needs the engine does not meet.

    Raises: PrerequisiteError.
    """
    missing = task.requires(spec) - engine.capabilities
    check_adapters(spec, task, engine)
    if Capability.PREFILL_LIMITS in missing:
        raise PrerequisiteError(
            f"engine {engine.name!r} chooses its prefills itself and cannot honour a prefill batch size or "
            "prefill_length: these words are for the runner of MindIE; leave them out"
        )
    if Capability.SAMPLE in missing:
        raise PrerequisiteError(
            f"engine {engine.name!r} takes the likeliest token and cannot sample; leave out --do-sample"
        )
    if missing:
        names = ", ".join(sorted(capability.value for capability in missing))
        raise PrerequisiteError(f"engine {engine.name!r} cannot run {spec.mode}: it lacks {names}")


def _check_ranks(spec: RunSpec, engine: Engine) -> None:
    """Refuse several ranks of an engine that has no part for them.

    Raises: PrerequisiteError.
    """
    if spec.world_size > 1 and not isinstance(engine, (Following, StartingRanks)):
        raise PrerequisiteError(
            f"engine {engine.name} runs as one rank; the words ask for {spec.world_size} chips: give 1"
        )


def _check_cases(spec: RunSpec, model: ModelInfo) -> None:
    """Refuse a case longer than the context before it costs a model load.

    Raises: SpecError.
    """
    context = model.max_position_embeddings
    for case in spec.cases:
        if context is not None and case.input_tokens + case.output_tokens > context:
            raise SpecError(
                f"case [{case.input_tokens},{case.output_tokens}] needs a context of "
                f"{case.input_tokens + case.output_tokens} tokens, {model.name} has {context}; use a shorter "
                "case, or give a longer context as the last word if the model's positions allow it"
            )


def _engines(word: str) -> list[str]:
    """Return the installed engines for an engine word, best first.

    Raises: PrerequisiteError when none is installed.
    """
    wanted = engines_of(word, serving=registry.words_served(but=OWN_ENGINES))
    installed = registry.engine_names()
    found = [name for name in wanted if name in installed]
    if found:
        return found
    raise PrerequisiteError(
        f"no engine for {word!r} is installed; it needs one of {', '.join(wanted)}, "
        f"installed are {', '.join(installed)}"
    )


def _with_pack(spec: RunSpec) -> RunSpec:
    """Return `spec` with the reference pack it asks of made known: where it lies, and its digest.

    Raises: SpecError when there is no such file.
    """
    pack = spec.options.pack
    if pack is None or pack.sha256:
        return spec
    path = Path(pack.path).expanduser().absolute()
    known = replace(pack, path=str(path), sha256=pack_digest(path))
    return replace(spec, options=replace(spec.options, pack=known))


def _no_checkpoint(engine: Engine, spec: RunSpec) -> ModelInfo:
    if isinstance(engine, NamingModel):
        return engine.served_model(spec)
    return ModelInfo(
        key=spec.model,
        name=spec.model,
        path=spec.weights,
        model_type="",
        dtype=spec.dtype,
        quantize=None,
        max_position_embeddings=spec.max_position_embeddings,
        block_size=128,
        chips=1,
        fingerprint=None,
        identity=spec.known_as or "",
    )
