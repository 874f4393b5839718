"""Tells by how much each fault of the catalogue changes what a model says, in float32.

    python benchmarks/fault_effects.py MODEL=DIRECTORY [...] --out effects.json [--ladder] [--fault NAME ...]

MODEL is a name of `modeltest/demo/faults/catalogue.toml`. About 1,000 tokens of text are forced behind
prompts laid out by the checkpoint's template. For each fault: the mean of the absolute shift of their
log-probabilities against the model without a fault, the signed mean, and in how many places another token
is the likeliest. The twin is the same checkpoint in bfloat16 without a fault: a fault whose mean shift is
below a tenth of the twin's has no effect on that model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modeltest.demo.corpus import sample_texts
from modeltest.demo.faults.applying import PATCHES, applied
from modeltest.demo.faults.catalogue import Fault, catalogue
from modeltest.demo.faults.requests import PROMPTS, Specials, other_prompt

ROWS = 4
FORCED_TOKENS = 256
QUESTION_TOKENS = 32
FLOOR_SHARE = 0.1
"""Of the twin's mean shift: below it a fault has no effect."""

MOST_NATS = 100.0
"""A shift counts no more than this: logits that are infinite or NaN say nothing of a size."""

SLOW_S = 60.0
"""Faults that take longer are told: something is wrong with the machine or with the patch."""


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt, and the tokens that are forced behind it."""

    prompt: tuple[int, ...]
    forced: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """How far log-probabilities of the forced tokens are from those of the model without a fault, in nats."""

    model: str
    fault: str
    strength: float
    mean_absolute: float
    mean: float
    other_likeliest: float
    has_effect: bool | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says of the forced tokens: log-probabilities and the likeliest tokens."""

    logprobs: Any
    likeliest: Any


def main() -> None:
    """Measure what the command line names."""
    options = _options()
    effects: list[Effect] = []
    for text in options.models:
        name, _, directory = text.partition("=")
        if name not in catalogue().models or not directory:
            sys.exit(f"{text!r}: give MODEL=DIRECTORY with a MODEL of {', '.join(catalogue().models)}")
        for effect in measure(name, directory, ladder=options.ladder, only=options.fault):
            effects.append(effect)
            print(
                f"{name:10} {effect.fault:28} {effect.strength:>9g} {effect.mean_absolute:10.6f}", flush=True
            )
    content = {
        "floor_share": FLOOR_SHARE,
        "forced_tokens": ROWS * FORCED_TOKENS,
        "effects": [asdict(effect) for effect in effects],
    }
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def measure(name: str, directory: str, *, ladder: bool, only: Sequence[str] = ()) -> Iterator[Effect]:
    """Yield the twin's distance from the model, then the effect of each fault of it, or of `only` some."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    rows = list(rows_of(tokenizer))
    specials = Specials(_begin(tokenizer), frozenset(tokenizer.all_special_ids))
    clean = said(model, rows)
    twin_model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()
    twin = effect_of(name, "bfloat16", 0.0, said(twin_model, rows), clean)
    del twin_model
    yield twin
    chosen = [catalogue().named(each) for each in only] or catalogue().faults.values()
    for fault in chosen:
        if name not in fault.models or (fault.name not in PATCHES and fault.name not in PROMPTS):
            continue
        for strength in fault.ladder if ladder else (fault.strength,):
            begin = time.perf_counter()
            faulty = _said_with(model, rows, fault, strength, specials)
            found = effect_of(
                name, fault.name, strength, faulty, clean, floor=FLOOR_SHARE * twin.mean_absolute
            )
            yield found
            if time.perf_counter() - begin > SLOW_S:
                print(f"{fault.name} took {time.perf_counter() - begin:.0f} s", file=sys.stderr)


def _said_with(model: Any, rows: Sequence[Row], fault: Fault, strength: float, specials: Specials) -> Said:
    if fault.name in PATCHES:
        with applied(model, fault.name, strength):
            return said(model, rows)
    changed = [Row(other_prompt(fault.name, strength, row.prompt, specials), row.forced) for row in rows]
    return said(model, changed)


def said(model: Any, rows: Sequence[Row]) -> Said:
    """Return what `model` says of the forced tokens of all rows, each row fed alone."""
    import torch

    logprobs, likeliest = [], []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row.prompt + row.forced])
            logits = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt) - 1 : -1].float()
            forced = torch.tensor(row.forced)[:, None]
            logprobs.append(logits.log_softmax(-1).gather(1, forced)[:, 0])
            likeliest.append(logits.argmax(-1))
    return Said(torch.cat(logprobs).double(), torch.cat(likeliest))


def effect_of(
    model: str, fault: str, strength: float, faulty: Said, clean: Said, *, floor: float | None = None
) -> Effect:
    """Return how far `faulty` is from `clean`; what is not a finite number counts as `MOST_NATS`."""
    shift = (faulty.logprobs - clean.logprobs).nan_to_num(nan=-MOST_NATS).clamp(-MOST_NATS, MOST_NATS)
    size = float(shift.abs().mean())
    other = float((faulty.likeliest != clean.likeliest).double().mean())
    has_effect = None if floor is None else size >= floor
    return Effect(model, fault, strength, size, float(shift.mean()), other, has_effect)


def rows_of(tokenizer: Any) -> Iterator[Row]:
    """Yield the rows: text of the sample datasets, its first tokens as a question laid out as a chat."""
    ids = tokenizer("\n".join(sample_texts()), add_special_tokens=False)["input_ids"]
    step = len(ids) // ROWS
    for begin in range(0, ROWS * step, step):
        question = tokenizer.decode(ids[begin : begin + QUESTION_TOKENS])
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        forced = ids[begin + QUESTION_TOKENS : begin + QUESTION_TOKENS + FORCED_TOKENS]
        yield Row(tuple(prompt_ids), tuple(forced))


def _begin(tokenizer: Any) -> int:
    return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL=DIRECTORY")
    parser.add_argument("--out", required=True, help="the file to write, JSON")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="these alone")
    parser.add_argument("--ladder", action="store_true", help="all strengths, not the usual ones alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
