"""What an engine says of a tiny family, held against transformers asked for one prompt at a time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from families import Family

from modeltest.api import Completion, Request, RunSpec, TokenPrompt
from modeltest.demo.families import VOCABULARY_SIZE

NEW_TOKENS = 12
"""More than lie between the prompts just below a limit and the limit."""

TOLERANCE = 1e-4
CHOICES = ((11,), (222,), (1033,), (777,))
LONG_CHOICES = ((11, 500, 14), (222,), (1033, 9, 9, 4))


def prompts(limit: int) -> list[tuple[int, ...]]:
    """Return prompts with and without common prefixes, on both sides of `limit` tokens.

    Ten are longer: the engine tries a fast way beyond a limit for eight or more, others it asks one by one.
    """
    draw = random.Random(limit)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(10, VOCABULARY_SIZE) for _ in range(count))

    short, long = tokens(limit - 8), tokens(limit + 4)
    return [
        *(short + tokens(count) for count in (2, 5, 12, 30)),
        *(long + tokens(count) for count in (3, 20)),
        tokens(5),
        tokens(limit - 20),
        tokens(2 * limit + 9),
        *(short + tokens(count) for count in (18, 41)),
        *(long + tokens(count) for count in (9, 33)),
        tokens(3 * limit),
    ]


@dataclass
class Plain:
    """The model as transformers loads it, asked for one prompt at a time without padding."""

    model: Any
    _logprobs: dict[tuple[int, ...], Any] = field(default_factory=dict)
    _generated: dict[tuple[tuple[int, ...], bool], tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> Plain:
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, dtype=torch.float32)
        return cls(model.eval())

    def choices(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[float]:
        """Return the log-probability of each choice after `prompt`."""
        sums = []
        for choice in choices:
            # All but the last token of a longer choice are fed; those of one token share a pass.
            of_all = self._of(prompt + choice[:-1])
            first = len(prompt) - 1
            sums.append(sum(float(of_all[first + at, token]) for at, token in enumerate(choice)))
        return sums

    def _of(self, ids: tuple[int, ...]) -> Any:
        import torch

        if ids not in self._logprobs:
            self._forget()
            with torch.inference_mode():
                self._logprobs[ids] = self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        return self._logprobs[ids]

    def _forget(self) -> None:
        """Make the next pass the first: with dynamic NTK a model remembers its longest row."""
        import torch

        with torch.inference_mode():
            self.model(torch.tensor([[0, 0]]))

    def generated(self, prompt: tuple[int, ...], *, ignore_eos: bool = False) -> tuple[int, ...]:
        """Return what `generate` of transformers says after `prompt`."""
        known = (prompt, ignore_eos)
        if known not in self._generated:
            self._generated[known] = self._generate(prompt, ignore_eos=ignore_eos)
        return self._generated[known]

    def _generate(self, prompt: tuple[int, ...], *, ignore_eos: bool) -> tuple[int, ...]:
        import torch

        self._forget()
        ids = torch.tensor([prompt])
        more = {"min_new_tokens": NEW_TOKENS} if ignore_eos else {}
        with torch.inference_mode():
            output = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS, **more
            )
        return tuple(output[0, len(prompt) :].tolist())


@dataclass
class Found:
    """How far an engine is from the plain computation; `trouble` says where it is or what it raised."""

    way: str = ""
    choices: float = 0.0
    trouble: list[str] = field(default_factory=list)


def spec_of(engine: str, directory: Path) -> RunSpec:
    return RunSpec(
        engine=engine,
        mode="test",
        task="test",
        model="auto",
        weights=str(directory),
        dtype="float32",
        device="cpu",
        trust_remote_code=True,
        allow_dtype_cast=True,
    )


def sweep(engine: Any, family: Family, plain: Plain, *, batch_sizes: Sequence[int] = (1, 8)) -> Found:
    """Ask a loaded `engine` for choices, generations and a timed batch, and compare."""
    found = Found(way=engine._answers.note)
    rows = prompts(family.limit)
    # Timed batches are not judged beyond a limit: they measure what everybody measures.
    timed = [rows[at][: family.limit - NEW_TOKENS - 4] for at in (0, 4, 8)]
    for batch_size in batch_sizes:
        for choices in (CHOICES, LONG_CHOICES):
            _sweep_choices(engine, plain, rows, choices, batch_size, found)
        _sweep_generations(engine, plain, rows, batch_size, found)
        _sweep_generations(engine, plain, timed, batch_size, found, ignore_eos=True)
    return found


def _sweep_choices(
    engine: Any,
    plain: Plain,
    rows: Sequence[tuple[int, ...]],
    choices: Sequence[tuple[int, ...]],
    batch_size: int,
    found: Found,
) -> None:
    requests = [Request(str(at), TokenPrompt(ids), choices=tuple(choices)) for at, ids in enumerate(rows)]
    for ids, completion in _ask(engine, requests, batch_size, found):
        where = f"choices of {len(ids)} tokens at batch size {batch_size}"
        if completion.error:
            found.trouble.append(f"{where}: {completion.error}")
            continue
        expected = plain.choices(ids, choices)
        worst = max(abs(a - b) for a, b in zip(completion.choice_logprobs, expected, strict=True))
        found.choices = max(found.choices, worst)
        if not worst <= TOLERANCE:
            found.trouble.append(f"{where}: {worst:.2g} off")


def _sweep_generations(
    engine: Any,
    plain: Plain,
    rows: Sequence[tuple[int, ...]],
    batch_size: int,
    found: Found,
    *,
    ignore_eos: bool = False,
) -> None:
    requests = [
        Request(str(at), TokenPrompt(ids), max_new_tokens=NEW_TOKENS, ignore_eos=ignore_eos)
        for at, ids in enumerate(rows)
    ]
    for ids, completion in _ask(engine, requests, batch_size, found):
        where = f"{'timed ' * ignore_eos}generation after {len(ids)} tokens at batch size {batch_size}"
        expected = plain.generated(ids, ignore_eos=ignore_eos)
        if completion.error:
            found.trouble.append(f"{where}: {completion.error}")
        elif completion.output_tokens != expected:
            found.trouble.append(f"{where}: {completion.output_tokens} is not {expected}")


def _ask(
    engine: Any, requests: list[Request], batch_size: int, found: Found
) -> list[tuple[tuple[int, ...], Completion]]:
    ids = {request.id: request.prompt.ids for request in requests}
    try:
        return [
            (ids[completion.request_id], completion)
            for batch in engine.complete(requests, batch_size=batch_size)
            for completion in batch
        ]
    except Exception as problem:
        text = f"raised at batch size {batch_size}: {type(problem).__name__}: {problem}"
        found.trouble.append(" ".join(text.split())[:260])
        return []


WORDS = {"SHARED": "packed", "PADDED": "padded", "ALONE": "one by one"}


@dataclass(frozen=True)
class TableRow:
    """A line of the table in docs/checkpoints.md: what a family gets."""

    family: str
    choices: str
    generations: str
    beyond: str
    """How rows are fed beyond the family's limits, where a limit changes anything."""

    is_paged: bool
    is_split: bool

    @classmethod
    def of(cls, family: str, ways: Mapping[str, Mapping[str, str]], *, paged: bool, split: bool) -> TableRow:
        """Return the line by the ways of choices and generations, each by limit; `None` is no limit."""
        usual = {kind: known["None"] for kind, known in ways.items()}
        slower = [
            WORDS[way]
            for kind, known in ways.items()
            for limit, way in known.items()
            if limit != "None" and way != usual[kind]
        ]
        words = (WORDS[usual["choices"]], WORDS[usual["generations"]])
        return cls(family, *words, max(slower, key=len, default="the same"), paged, split)

    def line(self) -> str:
        """Return the line of the table."""
        paged, split = ("yes" if each else "no" for each in (self.is_paged, self.is_split))
        return (
            f"| `{self.family}` | {self.choices} | {self.generations} | {self.beyond} | {paged} | {split} |"
        )


def ways_of(engine: Any) -> dict[str, dict[str, str]]:
    """Return how a swept `hf` engine feeds choices and generations, by limit."""
    answers = engine._answers
    return {
        kind: {str(limit): way.name for limit, way in choosing._known.items()}
        for kind, choosing in (("choices", answers._choices), ("generations", answers._generations))
    }
