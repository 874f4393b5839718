"""Whether a model asks transformers for its attention, so that another can take its place.

Read from the checkpoint's `config.json` and the source of the model, before anything heavy is imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modeltest.api import ModelInfo, RunSpec
from modeltest.plain.json_text import parse_published_json

_SIGN = "ALL_ATTENTION_FUNCTIONS"
"""What a model's source calls to get the attention that was set for it."""

_KINDS = frozenset({"full_attention", "sliding_attention"})


def closed_attention(spec: RunSpec, model: ModelInfo) -> str | None:
    """Return why another attention cannot serve this model, or `None` when nothing speaks against it."""
    config = _config(Path(model.path) / "config.json")
    others = sorted(set(config.get("layer_types") or ()) - _KINDS)
    if others:
        return f"it has layers of {', '.join(others)}"
    if config.get("attn_logit_softcapping"):
        return "it caps the scores of its attention (attn_logit_softcapping)"
    source = _source(config, Path(model.path), remote=spec.trust_remote_code)
    if source is None or _SIGN in source.read_text(encoding="utf-8", errors="replace"):
        return None
    return f"its code has an attention of its own ({source.name} does not use {_SIGN})"


def _config(path: Path) -> dict[str, Any]:
    try:
        values = parse_published_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}  # loading says what is wrong with it
    return values if isinstance(values, dict) else {}


def _source(config: dict[str, Any], checkpoint: Path, *, remote: bool) -> Path | None:
    """Return the file with the model's code, or `None` when it is not to be found without importing it."""
    name = (config.get("auto_map") or {}).get("AutoModelForCausalLM") if remote else None
    if isinstance(name, str):
        file = checkpoint / f"{name.partition('.')[0]}.py"
    else:
        package = find_spec("transformers")
        family = str(config.get("model_type", "")).replace("-", "_")
        if package is None or package.origin is None:
            return None
        file = Path(package.origin).parent / "models" / family / f"modeling_{family}.py"
    return file if file.is_file() else None
