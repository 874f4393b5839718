"""What an engine says of a tiny family, held against transformers asked for one prompt at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    """Return prompts with and without common prefixes, on both sides of `limit` tokens."""
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
    ]


@dataclass
class Plain:
    """The model as transformers loads it, asked for one prompt at a time without padding."""

    model: Any
    _logprobs: dict[tuple[int, ...], Any] = field(default_factory=dict)

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
            with torch.inference_mode():
                self._logprobs[ids] = self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        return self._logprobs[ids]

    def generated(self, prompt: tuple[int, ...], *, ignore_eos: bool = False) -> tuple[int, ...]:
        """Return what `generate` of transformers says after `prompt`."""
        import torch

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
    generations: int = 0
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
    for batch_size in batch_sizes:
        for kind, choices in (("choices", CHOICES), ("long choices", LONG_CHOICES)):
            requests = [Request(str(at), TokenPrompt(ids), choices=choices) for at, ids in enumerate(rows)]
            for name, completion in _ask(engine, requests, batch_size, found, kind).items():
                expected = plain.choices(rows[int(name)], choices)
                if completion.error:
                    found.trouble.append(f"{kind} at {batch_size}: {completion.error}")
                    continue
                worst = max(abs(a - b) for a, b in zip(completion.choice_logprobs, expected, strict=True))
                found.choices = max(found.choices, worst)
                if not worst <= TOLERANCE:
                    tokens = len(rows[int(name)])
                    found.trouble.append(f"{kind} at {batch_size}: {worst:.2g} off with {tokens} tokens")
        requests = [
            Request(str(at), TokenPrompt(ids), max_new_tokens=NEW_TOKENS) for at, ids in enumerate(rows)
        ]
        timed = [
            Request(f"{at}", TokenPrompt(rows[at][:24]), max_new_tokens=NEW_TOKENS, ignore_eos=True)
            for at in (0, 4, 8)
        ]
        for kind, asked in (("generation", requests), ("timed", timed)):
            for name, completion in _ask(engine, asked, batch_size, found, kind).items():
                ids = next(request.prompt.ids for request in asked if request.id == name)
                expected = plain.generated(ids, ignore_eos=kind == "timed")
                got = completion.output_tokens
                if completion.error:
                    found.trouble.append(f"{kind} at {batch_size}: {completion.error}")
                elif got != expected:
                    found.generations += 1
                    place = next(
                        (at for at, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), -1
                    )
                    found.trouble.append(f"{kind} at {batch_size}: token {place} after {len(ids)} tokens")
    return found


def _ask(
    engine: Any, requests: list[Request], batch_size: int, found: Found, kind: str
) -> dict[str, Completion]:
    try:
        return {
            completion.request_id: completion
            for batch in engine.complete(requests, batch_size=batch_size)
            for completion in batch
        }
    except Exception as problem:
        text = f"{kind} at {batch_size} raised {type(problem).__name__}: {problem}"
        found.trouble.append(" ".join(text.split())[:260])
        return {}
