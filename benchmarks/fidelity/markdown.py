"""The tables, ready for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fidelity.summary import AGREEMENT, OVERHEAD, Agreement, Summary

NOTE = (
    "The bare loop calls the model, chooses the likeliest token and calls it again, with a DynamicCache and "
    "one position of logits, and reads the clock three times a trial. Each side is a process of its own; "
    "times are medians over the rounds of medians over the trials; a ratio is made within a round, its "
    "interval is the 95 % interval of the median over the rounds. The prefill of optimum-benchmark ends "
    "before the first token is chosen."
)


def document(results: Sequence[tuple[str, str, Summary]], *, machine: Mapping[str, str], command: str) -> str:
    """Return everything: command, machine, note and one table; a result is model, shape and summary."""
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    return (
        "\n\n".join((f"```bash\n{command}\n```", f"{described}. fp32 on the cpu.", NOTE, table(results)))
        + "\n"
    )


def table(results: Sequence[tuple[str, str, Summary]]) -> str:
    """Return one row per model, shape and side."""
    head = (
        *("model", "shape", "side", "TPOT ms", "to the bare loop", "TTFT ms", "to the bare loop"),
        *("timing costs", "rounds", "goals"),
    )
    lines = [head, ["---"] * 3 + ["---:"] * 6 + ["---"]]
    for model, shape, summary in results:
        for name, medians in summary.medians.items():
            agreement = summary.agreement.get(name)
            is_ours = name == "ModelTest"
            lines.append(
                (
                    *(model, shape, name),
                    f"{medians['tpot_ms']:.3f}",
                    _ratio(agreement["tpot_ms"]) if agreement else "1",
                    f"{medians['ttft_ms']:.2f}",
                    _ratio(agreement["ttft_ms"]) if agreement else "1",
                    f"{summary.overhead:+.2%}" if is_ours and summary.overhead is not None else "-",
                    str(summary.rounds),
                    _goals(summary) if is_ours else "-",
                )
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(found: Agreement) -> str:
    interval = "" if found.low is None else f" ({found.low:.3f} .. {found.high:.3f})"
    return f"{found.ratio:.3f}{interval}"


def _goals(summary: Summary) -> str:
    if summary.missed:
        return "missed: " + "; ".join(summary.missed)
    return f"within {AGREEMENT:.0%}, at most {OVERHEAD:.0%}" if summary.rounds >= 5 else "too few rounds"
