"""Counts how many random faults of single layers `modeltest locate` names, within one layer.

    python benchmarks/locate_faults.py DIRECTORY --out located.json [--faults 100] [--seed 0]
        [--how hooks|bisection] [--dtype bf16|fp32]

DIRECTORY is a trained checkpoint: the reference in float32, the candidate in bfloat16. A fault of the
catalogue, a strength of its ladder and a layer are drawn by the seed and put into that layer alone.
Candidates compute in four orders in turn: fused attention or attention written out, and matrices and norms
as they are or in float32, summed backwards and rounded once. A draw that leaves all logits bit for bit is
drawn again. Each order is also judged without a fault, on other texts too.

With `--how bisection` the candidate is taken for one without hooks. What a checkpoint of its first layers
would tell is read behind these layers of the whole candidate, through its final norm and head, which is the
same (tests/modeltest/locate/test_cutting.py); so a fault is absent where its layer is cut off.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from modeltest.demo.corpus import sample_texts
from modeltest.demo.faults.applying import PATCHES
from modeltest.demo.faults.catalogue import catalogue
from modeltest.demo.faults.kinds import ends, positions, rotary
from modeltest.demo.faults.parts.anatomy import Anatomy, anatomy_of
from modeltest.demo.faults.parts.patching import on_arguments, run_instead
from modeltest.locate.answer import answer_of, departures_in
from modeltest.locate.bisected_files import answer_of as bisected_answer
from modeltest.locate.bisection import Bisected, CutEvidence, bisection, weighed
from modeltest.locate.comparing import Comparison, standard_of
from modeltest.locate.cut_logprobs import logprobs_behind_layers
from modeltest.locate.parts import layers_of
from modeltest.locate.prompts import TEXTS, TOKENS
from modeltest.locate.weights import weights_off

OF_SEVERAL_LAYERS = frozenset({"layer_skipped", "last_layer_skipped", "layers_swapped", "layer_loaded_twice"})
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
ORDERS = tuple(product(("sdpa", "eager"), (False, True)))
PROMPTS = 2
"""Of those of `modeltest locate`, the first."""

SMALL_SHARE = 0.1
"""Of the mean shift of log-probabilities by bfloat16 alone: a fault below it is told apart."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A fault in one layer, and what was said of it."""

    fault: str
    strength: float
    layer: int
    order: str
    shift: float
    """Mean absolute change of the next tokens' log-probabilities in float32, over that by bfloat16 alone."""

    named_layer: int | None
    operation: str | None
    answer: str

    @property
    def is_named(self) -> bool:
        """Whether the layer named is the right one or its neighbour."""
        return self.named_layer is not None and abs(self.named_layer - self.layer) <= 1


def main() -> None:
    """Measure, print and write."""
    options = _options()
    trial = (Trial if options.how == "hooks" else TrialByCuts)(options.directory, DTYPES[options.dtype])
    clean = list(trial.clean())
    for order, answer in clean:
        print(f"without a fault, {order}: {answer}", flush=True)
    draws = []
    for draw in trial.draws(options.seed, options.faults):
        draws.append(draw)
        print(f"{draw.fault:24} {draw.strength:<9g} layer {draw.layer:<3} {draw.shift:9.4f}  ", end="")
        print(f"{'named ' if draw.is_named else 'MISSED'} {draw.answer:.90}", flush=True)
    summary = _summary(draws, clean)
    print(json.dumps(summary, indent=1))
    content = {"summary": summary, "clean": clean, "draws": [asdict(each) for each in draws]}
    Path(options.out).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Trial:
    """The models, and what the reference's operations come to."""

    prompts = PROMPTS

    def __init__(self, directory: str, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_grad_enabled(False)
        tokenizer = AutoTokenizer.from_pretrained(directory)

        def load(dtype: Any) -> Any:
            return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()

        self._reference, self._twin = load(torch.float32), load(getattr(torch, dtype))
        self._candidate = load(getattr(torch, dtype))
        self._layers = len(layers_of(self._candidate))
        self._parts = anatomy_of(self._candidate)
        self._standards = [self._standard(tokenizer(text)["input_ids"]) for text in TEXTS[: self.prompts]]
        ids = tokenizer("\n".join(sample_texts()))["input_ids"]
        self._others = [ids[begin : begin + TOKENS] for begin in range(0, 2000, 500)]
        other = load(torch.bfloat16) if dtype != "bfloat16" else self._twin
        self._rounding = float((self._said(other) - self._said(self._reference)).abs().mean())

    def clean(self) -> Iterator[tuple[str, str]]:
        """Yield what is said of each order without a fault."""
        others = [self._standard(ids) for ids in self._others]
        for (attention, is_other), standards in product(ORDERS, (self._standards, others)):
            with self._ordered(attention, is_other=is_other) as order:
                yield order, f"{self._located(standards)[0]} ({self._largest(standards)})"

    def draws(self, seed: int, count: int) -> Iterator[Draw]:
        """Yield faults that have an effect, and what is said of them."""
        source = random.Random(seed)
        names = sorted(name for name in PATCHES if self._is_of_a_layer(name))
        done = 0
        while done < count:
            fault = catalogue().named(source.choice(names))
            strength, layer = source.choice(fault.ladder), source.randrange(len(self._parts.layers))
            attention, is_other = ORDERS[done % len(ORDERS)]
            with self._ordered(attention, is_other=is_other) as order:
                before = self._said(self._candidate)
                with ExitStack() as undo:
                    _put_in(undo, self._parts, fault.name, strength, layer)
                    if float((self._said(self._candidate) - before).nan_to_num(nan=1.0).abs().max()) == 0:
                        print(f"{fault.name:24} {strength:<9g} layer {layer:<3} no effect", flush=True)
                        continue
                    answer, *at = self._located(self._standards)
            done += 1
            size = self._effect(fault.name, strength, layer) / self._rounding
            yield Draw(fault.name, strength, layer, order, size, *at, answer)

    def _is_of_a_layer(self, name: str) -> bool:
        elsewhere = {*ends.PATCHES, *positions.PATCHES, "final_norm_epsilon", "final_norm_weight_lost"}
        is_in_catalogue = name in catalogue().faults
        return (
            is_in_catalogue and name not in elsewhere | OF_SEVERAL_LAYERS and PATCHES[name].needs(self._parts)
        )

    def _effect(self, name: str, strength: float, layer: int) -> float:
        """Return the mean absolute shift that the fault makes in the reference."""
        before = self._said(self._reference)
        with ExitStack() as undo:
            _put_in(undo, anatomy_of(self._reference), name, strength, layer)
            return float((self._said(self._reference) - before).nan_to_num(nan=100.0).abs().mean())

    @contextmanager
    def _ordered(self, attention: str, *, is_other: bool) -> Iterator[str]:
        with ExitStack() as undo:
            self._candidate.set_attn_implementation(attention)
            if is_other:
                _compute_otherwise(undo, self._parts)
            yield f"{attention}, {'other' if is_other else 'same'} matrices and norms"

    def _located(self, standards: Sequence[Any]) -> tuple[str, int | None, str | None]:
        """Return the answer, and of what it names the layer and the operation."""
        comparison = self._compared(standards)
        off = weights_off(self._reference, self._candidate)
        departures = tuple(departures_in(comparison.evidence(), off))
        first = next(iter(departures), None)
        at = (first.layer, first.operation) if first else (None, None)
        return answer_of(departures, self._layers), *at

    def _largest(self, standards: Sequence[Any]) -> str:
        """Return the largest errors of the candidate as it is, wherever they are."""
        evidence = self._compared(standards).evidence()
        excess, peak = max(each.excess for each in evidence), max(each.peak for each in evidence)
        return f"errors up to {excess:.2f} times the dtype's own, single values {peak:.2f} times"

    def _compared(self, standards: Sequence[Any]) -> Comparison:
        comparison = Comparison()
        for standard in standards:
            comparison.add(standard, self._candidate)
        return comparison

    def _standard(self, ids: Sequence[int]) -> Any:
        return standard_of(ids[:TOKENS], reference=self._reference, twin=self._twin)

    def _said(self, model: Any) -> Any:
        """Return the log-probability of each next token of the prompts, of a plain pass."""
        import torch

        said = []
        for standard in self._standards:
            ids = torch.tensor([standard.ids])
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].double()
            said.append(logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0])
        return torch.cat(said)


@dataclass(frozen=True, slots=True)
class _Told:
    """A text, and what reference and twins tell of it behind each layer."""

    ids: tuple[int, ...]
    reference: list[list[float]]
    twins: list[list[list[float]]]


class TrialByCuts(Trial):
    """The same candidates, by what checkpoints of their first layers tell."""

    prompts = len(TEXTS)

    def _standard(self, ids: Sequence[int]) -> _Told:
        text = tuple(ids[:TOKENS])
        twins = [logprobs_behind_layers(self._twin, text)]
        self._twin.set_attn_implementation("eager")
        twins.append(logprobs_behind_layers(self._twin, text))
        self._twin.set_attn_implementation("sdpa")
        reference = logprobs_behind_layers(self._reference, text)
        if self._twin.dtype == self._reference.dtype:
            del twins[0]  # the reference itself
        return _Told(text, reference, twins)

    def _located(self, standards: Sequence[Any]) -> tuple[str, int | None, str | None]:
        self._weigh = weigh = self._weighing(standards)
        search = bisection(self._layers)
        cut = next(search)
        try:
            while True:
                cut = search.send(weigh(cut))
        except StopIteration as ended:
            found: Bisected = ended.value
        return f"{bisected_answer(found)} [{len(found.cuts)} loads]", found.layer, None

    def _largest(self, standards: Sequence[Any]) -> str:
        worst = max(self._weigh(cut).excess for cut in range(1, self._layers + 1))
        return f"errors up to {worst:.2f} times the dtype's own"

    def _weighing(self, standards: Sequence[Any]) -> Callable[[int], CutEvidence]:
        candidate = [logprobs_behind_layers(self._candidate, each.ids) for each in standards]

        def weigh(cut: int) -> CutEvidence:
            def behind(told: Sequence[Sequence[Sequence[float]]]) -> list[float]:
                return [one for text in told for one in text[cut - 1]]

            twins = zip(*(each.twins for each in standards), strict=True)
            reference = behind([each.reference for each in standards])
            return weighed(cut, reference, [behind(each) for each in twins], behind(candidate))

        return weigh


def _put_in(undo: ExitStack, parts: Anatomy, name: str, strength: float, layer: int) -> None:
    """Put a fault into one layer: into a part of the anatomy, or into the angles it is given."""
    alone = replace(parts, layers=(parts.layers[layer],))
    if name not in rotary.PATCHES or name in ("rope_pairing", "rope_query_ahead"):
        PATCHES[name].apply(undo, alone, strength)
        return
    own = deepcopy(parts.rotaries[0])
    PATCHES[name].apply(undo, replace(alone, rotaries=(own,)), strength)
    on_arguments(undo, parts.layers[layer].module.self_attn, _with_angles(own))


def _with_angles(own: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    def change(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        import torch

        hidden = named["hidden_states"] if "hidden_states" in named else given[0]
        places = torch.arange(hidden.shape[1])[None]
        return given, {**named, "position_embeddings": own(hidden, places)}

    return change


def _compute_otherwise(undo: ExitStack, parts: Anatomy) -> None:
    """Let matrices and norms compute in float32, from the last product to the first, and round once."""
    import torch

    def matrix(module: Any) -> Callable[[Any], Any]:
        def forward(states: Any) -> Any:
            made = states.float().flip(-1) @ module.weight.float().flip(-1).T
            made = made if module.bias is None else made + module.bias.float()
            return made.to(states.dtype)

        return forward

    def norm(module: Any) -> Callable[[Any], Any]:
        def forward(states: Any) -> Any:
            wide = states.float()
            size = (wide.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt()
            return (wide * size * module.weight.float()).to(states.dtype)

        return forward

    for layer in parts.layers:
        for module in layer.module.modules():
            if isinstance(module, torch.nn.Linear):
                run_instead(undo, module, matrix(module))
    for module in (*parts.norms, parts.final_norm):
        run_instead(undo, module, norm(module))


def _summary(draws: Sequence[Draw], clean: Sequence[tuple[str, str]]) -> dict[str, Any]:
    small = [each for each in draws if each.shift < SMALL_SHARE]
    large = [each for each in draws if each.shift >= SMALL_SHARE]
    return {
        "faults": len(draws),
        "named within one layer": sum(each.is_named for each in draws),
        "named exactly": sum(each.named_layer == each.layer for each in draws),
        f"with an effect of {SMALL_SHARE:g} of bfloat16's or more": len(large),
        "of these named": sum(each.is_named for each in large),
        "with a smaller effect": len(small),
        "of those named": sum(each.is_named for each in small),
        "clean candidates": len(clean),
        "of these with a departure": sum(not answer.startswith("no layer departs") for _, answer in clean),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", help="a trained checkpoint of the Llama architecture")
    parser.add_argument("--out", required=True, help="the file to write, JSON")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--how", choices=("hooks", "bisection"), default="hooks")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bf16", help="of the candidate")
    return parser.parse_args()


if __name__ == "__main__":
    main()
