"""The part every JSON report begins with: which run, model and engine the numbers belong to."""

from __future__ import annotations

from collections.abc import Mapping

from modeltest.api import DatasetInfo, EngineInfo, EngineUsage, RunResult, dtype_word
from modeltest.plain.contracts import to_plain


def describe_run(result: RunResult) -> dict[str, object]:
    """Return the run as JSON values; `run.json` beside it has the rest."""
    spec = result.spec
    return {
        "run": {
            "task": spec.task,
            "mode": spec.mode,
            "engine_word": spec.engine,
            "started": result.started,
            "status": result.status,
            "error": result.error,
            "modeltest_version": result.modeltest_version,
            "world_size": spec.world_size,
            "seed": spec.seed,
            "limit": spec.limit,
            "quick": spec.quick,
        },
        "verdict": to_plain(result.verdict),
        "reasons": list(result.reasons),
        "reason_codes": to_plain(result.reason_codes),
        "model": _describe_model(result),
        "engine": None if result.engine is None else _describe_engine(result.adapter, result.engine),
        "usage": None if result.usage is None else _describe_usage(result.usage, result.timing_s),
    }


def describe_dataset(dataset: DatasetInfo | None) -> dict[str, object] | None:
    """Return which rows were asked; `None` where there were none."""
    if dataset is None:
        return None
    return {
        "name": dataset.name,
        "split": dataset.split,
        "sha256": dataset.sha256,
        "official": dataset.official,
        "records": dataset.records,
        "subjects": dataset.subjects,
    }


def describe_prompts(result: RunResult) -> dict[str, object]:
    """Return where the prompts of a measurement came from."""
    options = result.spec.options
    source = options.prompt_source
    kind = "given" if options.prompt_input is not None else "dataset" if source else "random"
    return {
        "source": kind,
        "dataset": describe_dataset(result.dataset),
        "padding": source.padding if source else None,
        "batch_group": source.batch_group if source else None,
        "chat": result.spec.chat,
    }


def _describe_usage(usage: EngineUsage, timing_s: Mapping[str, float]) -> dict[str, object]:
    run_s = timing_s.get("run")
    share = usage.forward_s / run_s if usage.forward_s is not None and run_s else None
    return {"load_s": timing_s.get("load"), "run_s": run_s, "forward_share": share, **to_plain(usage)}


def _describe_model(result: RunResult) -> dict[str, object]:
    model = result.model
    dtype = result.engine.dtype if result.engine else result.spec.dtype or model.dtype
    return {
        "name": model.name,
        "type": model.model_type,
        "dtype": model.dtype,
        "quantize": model.quantize,
        "precision": dtype_word(dtype, model.quantize),
        "fingerprint": model.fingerprint,
    }


def _describe_engine(adapter: str | None, engine: EngineInfo) -> dict[str, object]:
    return {
        "adapter": adapter,
        "name": engine.engine,
        "device": engine.device,
        "dtype": engine.dtype,
        "context_tokens": engine.context_tokens,
        "versions": dict(engine.versions),
        "notes": list(engine.notes),
        "ranks": to_plain(engine.ranks),
    }
