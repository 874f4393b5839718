"""The page of faults is the catalogue, and what was measured of it."""

import json

from doc_blocks import ROOT, section, table_rows

from modeltest.demo.faults.applying import PATCHES
from modeltest.demo.faults.catalogue import Fault, catalogue
from modeltest.demo.faults.requests import PROMPTS

EFFECTS = ROOT / "benchmarks" / "faults" / "effects.json"
PAGE = ROOT / "docs" / "faults.md"


def row_of(fault: Fault) -> list[str]:
    ladder = ", ".join(f"{strength:g}" for strength in fault.ladder)
    models = ", ".join(fault.models) or "others that have it"
    held = "yes" if fault.held_out else ""
    return [
        f"`{fault.name}`",
        fault.where.value,
        fault.what,
        fault.unit,
        f"{fault.strength:g}",
        ladder,
        models,
        held,
    ]


def lines() -> list[str]:
    """Return the lines of the table as they should be."""
    return ["| " + " | ".join(row_of(fault)) + " |" for fault in catalogue().faults.values()]


def effects(model: str) -> dict[str, dict[str, float]]:
    """Return what was measured of a model, by fault; `bfloat16` is its twin."""
    measured = json.loads(EFFECTS.read_text(encoding="utf-8"))["effects"]
    return {effect["fault"]: effect for effect in measured if effect["model"] == model}


def without_effect() -> list[list[str]]:
    """Return the rows of the table of effects as they should be."""
    rows = []
    for model in catalogue().models:
        found = effects(model)
        names = [f"`{name}`" for name, effect in found.items() if effect["has_effect"] is False]
        rows.append([model, f"{found['bfloat16']['mean_absolute']:.3f}", ", ".join(names) or "none"])
    return rows


def test_every_fault_of_a_model_was_measured_at_its_own_strength() -> None:
    for model in catalogue().models:
        of_model = {
            fault.name: fault.strength
            for fault in catalogue().faults.values()
            if model in fault.models and fault.name in {*PATCHES, *PROMPTS}
        }
        measured = {name: effect["strength"] for name, effect in effects(model).items()}
        assert measured == {"bfloat16": 0.0, **of_model}, model


def test_the_page_says_what_has_no_effect() -> None:
    told = [list(row) for row in table_rows(section(PAGE, "What is held out"))]
    assert told == without_effect()


def test_the_table_has_every_fault_as_the_catalogue_says_it() -> None:
    told = [list(row) for row in table_rows(section(PAGE, "The faults"))]
    assert told == [row_of(fault) for fault in catalogue().faults.values()]


def test_the_page_names_what_is_held_out() -> None:
    assert f"and the model `{catalogue().held_out_model}`" in PAGE.read_text(encoding="utf-8")
