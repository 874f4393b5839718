"""A model with a fault in one layer, as `modeltest locate` sees it: with hooks, or by its first layers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, product
from typing import Any

from locating.draws import SMALL_SHARE, Clean, Draw, Drawn
from locating.patched import compute_otherwise, faults_of_a_layer, put_in
from locating.remembering import Remembering

from modeltest.demo.corpus import sample_texts
from modeltest.demo.faults.catalogue import catalogue
from modeltest.demo.faults.parts.anatomy import anatomy_of
from modeltest.locate.answer import answer_of, departures_in
from modeltest.locate.bisected_files import answer_of as bisected_answer
from modeltest.locate.bisection import Bisected, CutEvidence, bisection, weighed
from modeltest.locate.comparing import standard_of
from modeltest.locate.cut_logprobs import logprobs_behind_layers
from modeltest.locate.parts import layers_of
from modeltest.locate.prompts import TEXTS, TOKENS
from modeltest.locate.weights import weights_off

ORDERS = tuple(product(("sdpa", "eager"), (False, True)))
PROMPTS = 2
"""Of those of `modeltest locate`, the first."""


@dataclass(frozen=True, slots=True)
class Said:
    """The answer, and of what it names the layer and the operation."""

    answer: str
    layer: int | None
    operation: str | None


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
        self.parts = anatomy_of(self._candidate)
        self.standards = [self._standard(tokenizer(text)["input_ids"]) for text in TEXTS[: self.prompts]]
        ids = tokenizer("\n".join(sample_texts()))["input_ids"]
        self._others = [ids[begin : begin + TOKENS] for begin in range(0, 2000, 500)]
        other = load(torch.bfloat16) if dtype != "bfloat16" else self._twin
        self._right = self._told(self._reference)
        self._rounding = float((self._told(other) - self._right).abs().mean())
        self._without: dict[str, Any] = {}
        self._remembering = Remembering()

    def clean(self) -> Iterator[Clean]:
        """Yield what is said of each order without a fault."""
        others = [self._standard(ids) for ids in self._others]
        for (attention, is_other), standards in product(ORDERS, (self.standards, others)):
            with self._ordered(attention, is_other=is_other) as order:
                yield Clean(order, self.located(standards, order).answer, self._largest(standards, order))

    def draws(self, seed: int, begin: int, *, judges_all: bool) -> Iterator[Draw]:
        """Yield faults from the place `begin` on, without end, and what is said of them.

        What has no effect is not judged unless `judges_all`.
        """
        source = random.Random(seed)
        names = faults_of_a_layer(self.parts)
        for place in count():
            fault = catalogue().named(source.choice(names))
            strength, layer = source.choice(fault.ladder), source.randrange(self._layers)
            attention, is_other = ORDERS[place % len(ORDERS)]
            if place >= begin:
                with self._ordered(attention, is_other=is_other) as order:
                    drawn = Drawn(place, fault.name, strength, layer, order)
                    yield self._judged(drawn, judges_all=judges_all)

    def _judged(self, drawn: Drawn, *, judges_all: bool) -> Draw:
        """Put the fault into the candidate, which computes in the order of `drawn` already."""
        shift = self._effect(drawn) / self._rounding
        if shift < SMALL_SHARE and not judges_all:
            return Draw(drawn, shift)
        if drawn.order not in self._without:
            self._without[drawn.order] = self._told(self._candidate)
        with ExitStack() as undo:
            put_in(undo, self.parts, drawn.fault, drawn.strength, drawn.layer)
            if self._told(self._candidate).equal(self._without[drawn.order]):
                return Draw(drawn, shift, is_there=False)
            said = self.located(self.standards, drawn.order)
        return Draw(drawn, shift, True, said.answer, said.layer, said.operation)

    def _effect(self, drawn: Drawn) -> float:
        """Return the mean absolute shift that the fault makes in the reference."""
        with ExitStack() as undo:
            put_in(undo, anatomy_of(self._reference), drawn.fault, drawn.strength, drawn.layer)
            return float((self._told(self._reference) - self._right).nan_to_num(nan=100.0).abs().mean())

    @contextmanager
    def _ordered(self, attention: str, *, is_other: bool) -> Iterator[str]:
        with ExitStack() as undo:
            self._candidate.set_attn_implementation(attention)
            if is_other:
                compute_otherwise(undo, self.parts)
            yield f"{attention}, {'other' if is_other else 'same'} matrices and norms"

    def located(self, standards: Sequence[Any], order: str) -> Said:
        """Return what is said of the candidate as it is, which computes in `order`."""
        evidence = self._remembering.evidence(standards, self._candidate, order)
        off = weights_off(self._reference, self._candidate)
        departures = tuple(departures_in(evidence, off))
        first = next(iter(departures), None)
        at = (first.layer, first.operation) if first else (None, None)
        return Said(answer_of(departures, self._layers), *at)

    def _largest(self, standards: Sequence[Any], order: str) -> str:
        """Return the largest errors of the candidate as it is, wherever they are."""
        evidence = self._remembering.evidence(standards, self._candidate, order)
        excess, peak = max(each.excess for each in evidence), max(each.peak for each in evidence)
        return f"errors up to {excess:.2f} times the dtype's own, single values {peak:.2f} times"

    def _standard(self, ids: Sequence[int]) -> Any:
        return standard_of(ids[:TOKENS], reference=self._reference, twin=self._twin)

    def _told(self, model: Any) -> Any:
        """Return the log-probability of each next token of the prompts, of a plain pass."""
        import torch

        told = []
        for standard in self.standards:
            ids = torch.tensor([standard.ids])
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].double()
            told.append(logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0])
        return torch.cat(told)


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

    def located(self, standards: Sequence[Any], order: str) -> Said:
        """Return what is said of the candidate as it is."""
        weigh = self.weighing(standards)
        search = bisection(self._layers)
        cut = next(search)
        try:
            while True:
                cut = search.send(weigh(cut))
        except StopIteration as ended:
            found: Bisected = ended.value
        return Said(f"{bisected_answer(found)} [{len(found.cuts)} loads]", found.layer, None)

    def _largest(self, standards: Sequence[Any], order: str) -> str:
        weigh = self.weighing(standards)
        worst = max(weigh(cut).excess for cut in range(1, self._layers + 1))
        return f"errors up to {worst:.2f} times the dtype's own"

    def weighing(self, standards: Sequence[Any]) -> Callable[[int], CutEvidence]:
        """Return what weighs what the candidate as it is tells behind so many layers."""
        candidate = [logprobs_behind_layers(self._candidate, each.ids) for each in standards]

        def weigh(cut: int) -> CutEvidence:
            def behind(told: Sequence[Sequence[Sequence[float]]]) -> list[float]:
                return [one for text in told for one in text[cut - 1]]

            twins = zip(*(each.twins for each in standards), strict=True)
            reference = behind([each.reference for each in standards])
            return weighed(cut, reference, [behind(each) for each in twins], behind(candidate))

        return weigh
