"""Over how many ranks a checkpoint can be split, read from files alone: no torch, nothing loaded. Pure but
for reading config.json and the source of transformers, whose plan of the family is what splits the model.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.hf.ranks.tensor_parallel import STYLES
from modeltest.api import ModelInfo, PrerequisiteError, RunSpec
from modeltest.installation import install_command, pip_command
from modeltest.plain.json_text import parse_published_json

MIN_TRANSFORMERS = (5, 20)
"""Since then a plan is applied through `DistributedConfig`."""

MIN_ACCELERATE = (1, 1)
"""transformers places the parts of a split model with accelerate's help, and refuses without it."""

_USABLE = ("dp", "tp")

WRONG_PLANS: Mapping[str, str] = {
    "gemma3n_text": "wrongly: it cuts activations off by their mean over all feed-forward columns",
    # Measured on two ranks; where it comes from is not known.
    "youtu": "inexactly: log-probabilities differ by a hundred times what rounding makes",
}
"""How transformers splits families whose parts, as far as known, answer otherwise than the whole model."""


@dataclass(frozen=True, slots=True)
class Degrees:
    """How the ranks of a run share the work: `replicas` of the model, each split over `split` ranks."""

    replicas: int
    split: int


def degrees(spec: RunSpec) -> Degrees:
    """Return what the words ask for; what they leave open is the split.

    Raises: PrerequisiteError for what does not come out as the world size, or is not available.
    """
    size = spec.world_size
    given = {name: value for name, value in asdict(spec.parallel).items() if value > 1}
    others = [f"{name} {value}" for name, value in given.items() if name not in _USABLE]
    if others:
        raise PrerequisiteError(
            f"engine hf knows the parallel degrees dp and tp; the words ask for {', '.join(others)}: "
            "leave them at 1 or -1"
        )
    replicas = _degree(spec.parallel.dp) or size // (_degree(spec.parallel.tp) or size)
    split = _degree(spec.parallel.tp) or size // replicas
    if replicas * split != size:
        raise PrerequisiteError(
            f"the words ask for dp {replicas} and tp {split} on {size} chips; their product must be the "
            f"number of chips: give {replicas * split} before the brackets, or other degrees"
        )
    if replicas > 1 and split > 1:
        raise PrerequisiteError(
            f"engine hf has either replicas or one split model; the words ask for dp {replicas} and "
            f"tp {split}: leave one of them at 1"
        )
    return Degrees(replicas, split)


def check_replicas(spec: RunSpec, found: Degrees) -> None:
    """Refuse replicas of a model that is timed.

    Raises: PrerequisiteError.
    """
    if found.replicas > 1 and spec.cases:
        raise PrerequisiteError(
            f"dp {found.replicas} splits the questions of an accuracy run; {spec.mode} times one batch on "
            f"one model: give tp {found.replicas}, or time one replica on 1 chip"
        )


def check_split(model: ModelInfo, size: int) -> None:
    """Refuse a split over `size` ranks that family, shape of the checkpoint or packages do not allow.

    Raises: PrerequisiteError that says which world sizes work.
    """
    if size == 1:
        return
    config = _config(model)
    plan = _plan(config, model.model_type)
    objection = _objection(plan)
    if plan is None or objection is not None:
        raise PrerequisiteError(
            f"{model.model_type} cannot be split over {size} ranks: transformers {plan_version()} "
            f"{objection}; world sizes that work: 1, or any with replicas in accuracy runs, as in "
            f"{size} [{size},-1,-1,-1,-1,-1,-1,-1]"
        )
    shape = _shape(model, _text_part(config), plan)
    fitting = world_sizes(shape)
    if size not in fitting:
        said = ", ".join(f"{count} {name}" for name, count in shape.items())
        raise PrerequisiteError(
            f"{model.name} with {said} cannot be split over {size} ranks; world sizes that work: "
            f"{', '.join(map(str, fitting))}"
        )
    _require_accelerate(size)


def world_sizes(shape: Mapping[str, int]) -> tuple[int, ...]:
    """Return every number of ranks that divides all counts of `shape`."""
    common = math.gcd(*shape.values())
    return tuple(size for size in range(1, common + 1) if common % size == 0)


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """How transformers splits a family: the styles it uses, and what a config leaves to the family.

    `model_type` is that of the part that reads and writes text.
    """

    model_type: str
    styles: tuple[str, ...]
    defaults: Mapping[str, int]


def family_plan(model_type: str) -> FamilyPlan | None:
    """Return transformers' plan of the family `model_type`, or `None` where it has none.

    Read from the source of its config class, since importing it would import torch.

    Raises: PrerequisiteError without a transformers that can apply one.
    """
    package = importlib.util.find_spec("transformers")
    if package is None or not package.submodule_search_locations:
        raise PrerequisiteError(f"several ranks need transformers: {install_command('hf')}")
    if _version(plan_version()) < MIN_TRANSFORMERS:
        wanted = ".".join(map(str, MIN_TRANSFORMERS))
        raise PrerequisiteError(
            f"splitting a model over ranks needs transformers {wanted} or newer; installed is "
            f"{plan_version()}: {pip_command('-U', 'transformers')}, or give 1 chip"
        )
    for source in _sources_naming(model_type, Path(package.submodule_search_locations[0]) / "models"):
        for definition in ast.walk(ast.parse(source)):
            if isinstance(definition, ast.ClassDef):
                values = dict(_constants(definition))
                if values.get("model_type") == model_type and values.get("base_model_tp_plan"):
                    styles = tuple(values["base_model_tp_plan"].values())
                    return FamilyPlan(model_type, styles, {k: v for k, v in values.items() if type(v) is int})
    return None


def _sources_naming(model_type: str, models: Path) -> Iterator[str]:
    """Yield the sources of config classes that name `model_type`.

    The folder is that of the family, which may be another word: `gemma3_text` is in `gemma3`.
    """
    for path in sorted(models.glob("*/configuration_*.py")):
        source = path.read_text(encoding="utf-8")
        if f'"{model_type}"' in source:
            yield source


def plan_version() -> str:
    """Return the version of transformers."""
    return importlib.metadata.version("transformers")


def _config(model: ModelInfo) -> Mapping[str, Any]:
    text = (Path(model.path) / "config.json").read_text("utf-8-sig")
    values: dict[str, Any] = parse_published_json(text)
    return values


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a config.json that describes what reads and writes text: all if none is nested."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config


def _plan(config: Mapping[str, Any], model_type: str) -> FamilyPlan | None:
    """Return the plan by which a model with this `config` is split, or `None` where its text part has none.

    What a model has around its text part is split by a plan of its own, if there is one, so that both must
    be known. Counts come from the text part.
    """
    text = _text_part(config)
    if text is config:
        return family_plan(model_type)
    inner = text.get("model_type")
    plan = family_plan(inner) if isinstance(inner, str) else None
    around = family_plan(model_type)
    if plan is None or around is None:
        return plan
    return FamilyPlan(plan.model_type, (*around.styles, *plan.styles), plan.defaults)


def _objection(plan: FamilyPlan | None) -> str | None:
    """Return what transformers does that keeps a model from being split by `plan`, or `None`."""
    if plan is None:
        return "has no plan for this family"
    unknown = sorted(set(plan.styles) - STYLES)
    if unknown:
        return f"splits it in unknown ways ({', '.join(unknown)})"
    wrong = WRONG_PLANS.get(plan.model_type)
    return None if wrong is None else f"splits it {wrong}"


def _require_accelerate(size: int) -> None:
    try:
        found = importlib.metadata.version("accelerate")
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found is None or _version(found) < MIN_ACCELERATE:
        wanted = ".".join(map(str, MIN_ACCELERATE))
        raise PrerequisiteError(
            f"splitting a model over {size} ranks needs accelerate {wanted} or newer, "
            f"{f'installed is {found}' if found else 'which is not installed'}: "
            f"{pip_command(f'accelerate>={wanted}')}; without it 1 rank works, and in accuracy runs "
            f"replicas, as in {size} [{size},-1,-1,-1,-1,-1,-1,-1]"
        )


def _degree(value: int) -> int | None:
    return value if value > 0 else None


def _constants(definition: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the class's attributes that are written out."""
    for statement in definition.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                try:
                    yield target.id, ast.literal_eval(value)
                except ValueError:
                    continue


def _shape(model: ModelInfo, text: Mapping[str, Any], plan: FamilyPlan) -> dict[str, int]:
    """Return the counts that a split must divide, by what they are called in messages.

    Raises: PrerequisiteError when config.json does not say them.
    """
    config = {**plan.defaults, **text}
    heads = config.get("num_attention_heads")
    if type(heads) is not int:
        raise PrerequisiteError(
            f"{model.path}/config.json names no num_attention_heads, so that it cannot be said over how many "
            "ranks the model can be split: give 1 chip"
        )
    counts = {
        "attention heads": heads,
        "key/value heads": config.get("num_key_value_heads"),
        "feed-forward columns": config.get("intermediate_size"),
    }
    return {name: count for name, count in counts.items() if type(count) is int}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
