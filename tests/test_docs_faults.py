"""The page of faults is the catalogue."""

from doc_blocks import ROOT, section, table_rows

from modeltest.demo.faults.catalogue import Fault, catalogue

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


def test_the_table_has_every_fault_as_the_catalogue_says_it() -> None:
    told = [list(row) for row in table_rows(section(PAGE, "The faults"))]
    assert told == [row_of(fault) for fault in catalogue().faults.values()]


def test_the_page_names_what_is_held_out() -> None:
    assert f"and the model `{catalogue().held_out_model}`" in PAGE.read_text(encoding="utf-8")
