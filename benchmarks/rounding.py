"""Measures what rounding does to the choices of a trained model, for the tables of docs/rounding.md.

    modeltest demo-model smollm2 DIR --dtype bfloat16
    python benchmarks/rounding.py ask DIR --task mmlu --shots 5 --data-dir DATA --to figures.jsonl
    python benchmarks/rounding.py tell figures.jsonl

`ask` asks the same questions of one checkpoint in several ways, right ones and wrong ones, and adds a line to
the file for each. `tell` prints how far every two ways of one dtype are apart, and how far those of other
dtypes are from float32: the largest shift of a choice's log-probability after scaling, the most that the
distance between two choices moved, mean and largest KL divergence, what the mean over 20 and over 100 such
questions exceeds once in 1000 times, and the answers that differ with the widest of their margins.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from roundings.figures import Apart, apart, mean_bound

REFERENCE = "packed, batch 8"
FLOAT32 = "float32"

Answers = dict[str, list[float]]
Asked = dict[tuple[str, str], dict[str, Answers]]
"""By task and dtype, then by way, then by question."""


def ask(words: argparse.Namespace) -> None:
    """Ask the questions in each way."""
    from roundings.ways import Bench, Questions

    asked = Questions(words.task, words.data_dir, words.shots, words.limit, words.step, words.questions)
    bench = Bench(words.checkpoint, asked)
    ways = bench.ways()
    for name in words.way or ways:
        choices = ways[name]()
        line = {"task": words.task, "dtype": bench.dtype, "way": name, "choices": choices}
        with words.to.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{len(choices)} questions of {words.task}, {bench.dtype}: {name}", flush=True)


def read(files: Sequence[Path]) -> Asked:
    """Return what the files hold."""
    asked: Asked = defaultdict(lambda: defaultdict(dict))
    for file in files:
        for text in file.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            asked[line["task"], line["dtype"]][line["way"]].update(line["choices"])
    return asked


def pairs(asked: Asked) -> Iterator[tuple[str, str, str, Apart]]:
    """Yield task, the names of two ways with their dtypes, and how far they are apart."""
    for (task, dtype), ways in asked.items():
        for one, other in combinations(ways, 2):
            if set(ways[one]) & set(ways[other]):
                yield task, f"{dtype}: {one}", f"{dtype}: {other}", apart(ways[one], ways[other])
        reference = asked.get((task, FLOAT32), {}).get(REFERENCE)
        if dtype != FLOAT32 and reference:
            for name, answers in ways.items():
                yield task, f"{FLOAT32}: {REFERENCE}", f"{dtype}: {name}", apart(reference, answers)


def tell(words: argparse.Namespace) -> None:
    """Print a line for each two ways."""
    print("| task | two ways | questions | shift | moved | mean KL | largest | of 20 | of 100 | differ |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for task, one, other, found in pairs(read(words.files)):
        kl = found.divergences
        figures = (
            found.shift,
            found.moved,
            sum(kl) / len(kl),
            max(kl),
            mean_bound(kl, 20),
            mean_bound(kl, 100),
        )
        widest = f" (margin {max(found.flips):.2g})" if found.flips else ""
        print(
            f"| {task} | {one}; {other} | {len(kl)} | "
            + " | ".join(f"{figure:.2g}" for figure in figures)
            + f" | {len(found.flips)}{widest} |"
        )


def main() -> None:
    """Ask or tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("checkpoint", help="directory that `modeltest demo-model smollm2` made")
    asking.add_argument("--task", default="boolq", choices=("boolq", "mmlu", "ceval"))
    asking.add_argument("--data-dir", help="with boolq/, ceval/ and mmlu/; default: the bundled samples")
    asking.add_argument("--shots", type=int, default=0)
    asking.add_argument("--limit", type=int, help="the first so many questions of each subject")
    asking.add_argument("--step", type=int, default=1, help="of these, one in so many")
    asking.add_argument("--questions", type=int, default=24, help="of these, so many")
    asking.add_argument("--way", action="append", help="repeat it for more; default: all")
    asking.add_argument("--to", type=Path, required=True, metavar="FILE")
    asking.set_defaults(call=ask)
    telling = commands.add_parser("tell")
    telling.add_argument("files", type=Path, nargs="+")
    telling.set_defaults(call=tell)
    words = parser.parse_args()
    words.call(words)


if __name__ == "__main__":
    main()
