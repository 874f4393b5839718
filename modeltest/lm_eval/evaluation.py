"""One evaluation by lm-evaluation-harness: its tasks are loaded first, then the engine's model.

Only the worker imports this module: it needs the package `lm_eval`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.sandbox import SandboxedEnvironment
from lm_eval import utils
from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from lm_eval.utils import handle_non_serializable, hash_string, simple_parse_args_string

from modeltest.api import (
    Capability,
    DatasetError,
    Engine,
    EngineInfo,
    LmEvalOptions,
    PrerequisiteError,
    RunSpec,
    SpecError,
    Tell,
)
from modeltest.lm_eval.bridge import EngineLM
from modeltest.lm_eval.generation import read_generation_options
from modeltest.lm_eval.results import RESULTS_FILE
from modeltest.lm_eval.task_files import SUFFIXES, task_files
from modeltest.machine.files import write_text

_NEEDED = {
    "generate_until": Capability.GENERATE,
    "loglikelihood": Capability.CHOICE_LOGPROBS,
    "loglikelihood_rolling": Capability.CHOICE_LOGPROBS,
    "multiple_choice": Capability.CHOICE_LOGPROBS,
}


class LmEvalEvaluation:
    """Loaded tasks; `run` evaluates them."""

    def __init__(self, spec: RunSpec, options: LmEvalOptions, manager: _Preloaded) -> None:
        self._spec = spec
        self._options = options
        self._manager = manager

    def run(self, engine: Engine, info: EngineInfo, *, directory: Path, tell: Tell) -> None:
        """Evaluate and write `lm_eval_results.json`, and a `samples_*.jsonl` per task if that is wanted."""
        tracker = EvaluationTracker(output_path=str(directory / RESULTS_FILE))
        results = self._evaluate(EngineLM(engine, info, self._spec, tell=tell), tracker)
        samples = results.pop("samples", {})
        tracker.general_config_tracker.log_end_time()
        results["task_hashes"] = {task: _hash_of(of_task) for task, of_task in samples.items()}
        results.update(asdict(tracker.general_config_tracker))
        dumped = json.dumps(results, indent=2, default=handle_non_serializable, ensure_ascii=False)
        write_text(directory / RESULTS_FILE, dumped + "\n")
        _write_samples(tracker, samples, directory)

    def _evaluate(self, model: EngineLM, tracker: EvaluationTracker) -> dict[str, Any]:
        spec, options = self._spec, self._options
        multiturn = options.fewshot_as_multiturn
        results: dict[str, Any] = simple_evaluate(
            model=model,
            model_args={"pretrained": spec.weights},
            tasks=self._manager.names,
            task_manager=self._manager,
            num_fewshot=spec.options.shots,
            batch_size=spec.batch_sizes[0][0],
            limit=spec.limit,
            gen_kwargs=options.gen_kwargs,
            log_samples=options.log_samples,
            evaluation_tracker=tracker,
            apply_chat_template=spec.chat,
            fewshot_as_multiturn=spec.chat if multiturn is None else multiturn,
            system_instruction=options.system_instruction,
            confirm_run_unsafe_code=options.confirm_run_unsafe_code,
        )
        return results


class _Preloaded(TaskManager):  # type: ignore[misc]
    """A task manager that loads what is asked for once, before there is a model, and keeps it."""

    def __init__(self, words: Sequence[str], include_path: str | None) -> None:
        super().__init__(include_path=include_path)
        self.names = [name for word in words for name in self._names_of(word)]
        self._loaded: Any = None

    def load(self, task_list: Any) -> Any:
        if self._loaded is None:
            self._loaded = super().load(self.names)
        return self._loaded

    def _names_of(self, word: str) -> list[str]:
        if word.endswith(SUFFIXES):
            if not Path(word).is_file():
                raise SpecError(f"--tasks: there is no file {word}")
            return [str(Path(word).absolute())]
        names: list[str] = self.match_tasks([word])
        if not names:
            close = get_close_matches(word, self.all_tasks, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise SpecError(
                f"lm-eval knows no task {word!r:.80}{hint} `lm-eval ls tasks` lists its tasks; "
                "your own are found with --include-path DIR"
            )
        return names


def prepare(spec: RunSpec, engine: Engine) -> LmEvalEvaluation:
    """Load the tasks with their datasets, and refuse those that cannot be run.

    Raises: SpecError, PrerequisiteError, DatasetError.
    """
    options = options_of(spec)
    if options.include_path is not None and not Path(options.include_path).is_dir():
        raise SpecError(f"--include-path: there is no directory {options.include_path}")
    if not spec.trust_remote_code and task_files(options).name_code:
        raise SpecError("task files name code that would run; trust_remote_code says that it is trusted")
    utils.env = _in_sandbox(utils.env)
    manager = _Preloaded(options.tasks, options.include_path)
    for name, task in _load(manager).items():
        _check_task(name, task, options, engine)
    return LmEvalEvaluation(spec, options, manager)


def options_of(spec: RunSpec) -> LmEvalOptions:
    """Return the part of `spec` that is for lm-evaluation-harness.

    Raises: SpecError when it has none.
    """
    if spec.options.lm_eval is None or not spec.options.lm_eval.tasks:
        raise SpecError("no tasks are named; `modeltest lm-eval --tasks NAME,NAME` names them")
    return spec.options.lm_eval


def _in_sandbox(environment: Environment) -> Environment:
    """Return an environment that lays templates out alike, and lets none reach beyond its values.

    The harness evaluates the templates of task files without one, so that each could run any code.
    """
    sandbox = SandboxedEnvironment(
        loader=environment.loader,
        undefined=environment.undefined,
        keep_trailing_newline=environment.keep_trailing_newline,
    )
    sandbox.filters.update(environment.filters)
    return sandbox


def _load(manager: _Preloaded) -> Mapping[str, Any]:
    try:
        loaded: Mapping[str, Any] = manager.load(manager.names)["tasks"]
    except ImportError as problem:
        raise PrerequisiteError(f"a task of lm-eval needs a package that is missing: {problem}") from problem
    except Exception as problem:  # whatever a dataset's own loading code raises
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise DatasetError(f"lm-eval cannot load {', '.join(manager.names)}: {reason:.600}") from problem
    return loaded


def _check_task(name: str, task: Any, options: LmEvalOptions, engine: Engine) -> None:
    kind = task.OUTPUT_TYPE
    if kind not in _NEEDED or getattr(task, "MULTIMODAL", False):
        raise SpecError(f"task {name} is not about text alone or is of kind {kind}, which is not supported")
    if _NEEDED[kind] not in engine.capabilities:
        raise PrerequisiteError(
            f"engine {engine.name!r} cannot run task {name} ({kind}): it lacks {_NEEDED[kind].value}"
        )
    if getattr(task, "UNSAFE_CODE", False) and not options.confirm_run_unsafe_code:
        raise SpecError(
            f"task {name} runs code that the model wrote; --confirm-run-unsafe-code says that you want that"
        )
    if kind == "generate_until":
        given = {**(task.config.generation_kwargs or {}), **simple_parse_args_string(options.gen_kwargs)}
        try:
            read_generation_options(given)
        except SpecError as problem:
            raise SpecError(f"task {name}: {problem}") from None


def _write_samples(
    tracker: EvaluationTracker, samples: Mapping[str, Sequence[Mapping[str, Any]]], directory: Path
) -> None:
    """Have lm-evaluation-harness write its samples files, under its own names, beside the results."""
    tracker.date_id = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S.%f")
    for task, of_task in samples.items():
        tracker.save_results_samples(task_name=task, samples=of_task)
        # It only logs what went wrong.
        if not (directory / f"samples_{task}_{tracker.date_id}.jsonl").is_file():
            raise PrerequisiteError(f"lm-eval could not write the samples of {task} into {directory}")


def _hash_of(samples: Sequence[Mapping[str, Any]]) -> str:
    digests = (one["doc_hash"] + one["prompt_hash"] + one["target_hash"] for one in samples)
    digest: str = hash_string("".join(digests))
    return digest
