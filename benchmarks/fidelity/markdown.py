"""The tables, ready for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fidelity.summary import AGREEMENT, GOAL_TURNS, OVERHEAD, Agreement, Apart, InTurn

NOTE_IN_TURN = (
    "The bare loop calls the model, chooses the likeliest token and calls it again, with a DynamicCache and "
    "one position of logits, and reads the clock three times a batch. A turn is a batch of each side, in one "
    "process; a ratio is made within a turn and has the 95 % interval of its median."
)

NOTE_APART = (
    "The same in whole processes, one after the other, as a user starts them: medians over the rounds of "
    "medians over the trials, ratios within a round. The prefill of optimum-benchmark ends before the first "
    "token is chosen."
)

Result = tuple[str, str, InTurn, Apart]
"""Model, shape, and what was measured of it."""


def document(results: Sequence[Result], *, machine: Mapping[str, str], command: str) -> str:
    """Return everything: command, machine, notes and tables."""
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    parts = [f"```bash\n{command}\n```", f"{described}. fp32 on the cpu.", NOTE_IN_TURN]
    parts.append(table_in_turn(results))
    if any(apart.rounds for *_, apart in results):
        parts += [NOTE_APART, table_apart(results)]
    return "\n\n".join(parts) + "\n"


def table_in_turn(results: Sequence[Result]) -> str:
    """Return one row per model and shape."""
    head = (
        "model",
        "shape",
        "TPOT ms, bare loop",
        "ModelTest",
        "ratio",
        "TTFT ms, bare loop",
        "ModelTest",
        "ratio",
        "timed / untimed",
        "turns",
        "goals",
    )
    rows = []
    for model, shape, found, _ in results:
        bare, ours = found.medians["bare"], found.medians["modeltest"]
        row = [model, shape]
        for metric in ("tpot_ms", "ttft_ms"):
            row += [f"{bare[metric]:.3f}", f"{ours[metric]:.3f}", _ratio(found.agreement[metric])]
        rows.append([*row, _ratio(found.timing), str(found.turns), _goals(found)])
    return _table(head, ["---"] * 2 + ["---:"] * 8 + ["---"], rows)


def table_apart(results: Sequence[Result]) -> str:
    """Return one row per model, shape and side."""
    head = ("model", "shape", "side", "TPOT ms", "to the bare loop", "TTFT ms", "to the bare loop", "rounds")
    rows = []
    for model, shape, _, apart in results:
        for name, medians in apart.medians.items() if apart.rounds else ():
            agreement = apart.agreement.get(name)
            row = [model, shape, name]
            for metric in ("tpot_ms", "ttft_ms"):
                row += [f"{medians[metric]:.3f}", _ratio(agreement[metric]) if agreement else "1"]
            rows.append([*row, str(apart.rounds)])
    return _table(head, ["---"] * 3 + ["---:"] * 5, rows)


def _table(head: Sequence[str], marks: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *rows))


def _ratio(found: Agreement) -> str:
    interval = "" if found.low is None else f" ({found.low:.3f} .. {found.high:.3f})"
    return f"{found.ratio:.3f}{interval}"


def _goals(found: InTurn) -> str:
    if found.missed:
        return "missed: " + "; ".join(found.missed)
    return f"within {AGREEMENT:.0%}, at most {OVERHEAD:.0%}" if found.turns >= GOAL_TURNS else "too few turns"
