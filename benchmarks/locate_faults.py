"""Counts how many random faults of single layers `modeltest locate` names, within one layer.

    python benchmarks/locate_faults.py DIRECTORY --out located.jsonl [--faults 100] [--seed 0]
        [--how hooks|bisection] [--dtype bf16|fp32] [--all]

DIRECTORY is a trained checkpoint: the reference in float32, the candidate in bfloat16. A fault of the
catalogue, a strength of its ladder and a layer are drawn by the seed and put into that layer alone.
Candidates compute in four orders in turn: fused attention or attention written out, and matrices and norms
as they are or in float32, summed backwards and rounded once. Each order is also judged without a fault, on
other texts too.

A draw that shifts log-probabilities in float32 by less than a tenth of what bfloat16 does is one without
effect: it is told and kept apart, by that alone, and drawing goes on until `--faults` with an effect were
judged. Those without are judged too with `--all`. A draw that leaves the candidate bit for bit is kept apart
as well.

What was found is in `--out` line by line. Killed, the same command goes on where it was.

With `--how bisection` the candidate is taken for one without hooks. What a checkpoint of its first layers
would tell is read behind these layers of the whole candidate, through its final norm and head, which is the
same (tests/modeltest/locate/test_cutting.py); so a fault is absent where its layer is cut off.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from locating.draws import Draw, DrawFile, summary_of
from locating.trials import Trial, TrialByCuts

DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


def main() -> None:
    """Measure, print and write."""
    options = _options()
    settings = {name: getattr(options, name) for name in ("seed", "how", "dtype", "all")}
    file = DrawFile(Path(options.out), settings)
    trial = (Trial if options.how == "hooks" else TrialByCuts)(options.directory, DTYPES[options.dtype])
    for place, clean in enumerate(trial.clean()):
        if place >= len(file.clean):
            file.add(clean)
            print(f"without a fault, {clean.order}: {clean.answer} ({clean.largest})", flush=True)
    draws = trial.draws(options.seed, len(file.draws), judges_all=options.all)
    while sum(each.has_effect for each in file.draws) < options.faults:
        file.add(draw := next(draws))
        print(_line(draw), flush=True)
    print(json.dumps(summary_of(file.draws, file.clean), indent=1))


def _line(draw: Draw) -> str:
    drawn = draw.drawn
    begin = f"{drawn.fault:24} {drawn.strength:<9g} layer {drawn.layer:<3} {draw.shift:9.4f}  "
    if not draw.is_there:
        return begin + "not in the candidate"
    if draw.answer is None:
        return begin + "no effect"
    word = "named " if draw.is_named else "WRONG " if draw.is_named_wrongly else "MISSED"
    return f"{begin}{word} {draw.answer:.90}" + ("" if draw.has_effect else " (no effect)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", help="a trained checkpoint of the Llama architecture")
    parser.add_argument("--out", required=True, help="the file to write, JSON lines")
    parser.add_argument("--faults", type=int, default=100, help="with an effect")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--how", choices=("hooks", "bisection"), default="hooks")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bf16", help="of the candidate")
    parser.add_argument("--all", action="store_true", help="judge what has no effect too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
