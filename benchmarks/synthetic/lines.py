"""What the synthetic runs are of: made-up models whose nightly runs have a story to be found again."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Change:
    """From one night to another (not included), a number is another one."""

    first: int
    last: int | None
    accuracy: float = 0.0
    """Added to the share of right answers."""

    time: float = 1.0
    """Every decode step takes so many times as long."""

    def holds(self, night: int) -> bool:
        """Say whether `night` is one of its nights."""
        return self.first <= night and (self.last is None or night < self.last)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine word, what serves it, and how fast that is."""

    word: str
    adapter: str
    device: str
    dtype: str
    speed: float
    """Times a step takes on it, relative to the fastest."""

    jitter: float
    """How far rounding moves an answer from night to night, as a share of the questions."""


@dataclass(frozen=True, slots=True)
class Line:
    """One model, task and engine, run every night."""

    model: str
    mode: str
    engine: Engine
    ability: float = 0.0
    """Share of right answers."""

    step_ms: float = 0.0
    quantize: str | None = None
    changes: tuple[Change, ...] = field(default_factory=tuple)


PAGED = Engine("pa_fp16", "mindie_pa", "npu", "float16", 1.0, 0.004)
PAGED_BF16 = Engine("pa_bf16", "mindie_pa", "npu", "bfloat16", 1.04, 0.01)
REFERENCE = Engine("hf_fp32", "hf", "cpu", "float32", 9.0, 0.0)

_SLOWER_KERNEL = Change(first=9, last=None, time=1.11)
_WRONG_MASK = Change(first=7, last=10, accuracy=-0.045)
_FASTER = Change(first=6, last=None, time=0.9)
_BETTER_TEMPLATE = Change(first=5, last=None, accuracy=0.05)

LINES = (
    Line("aurora-7b", "full_BoolQ", PAGED, ability=0.81),
    Line("aurora-7b", "full_BoolQ", REFERENCE, ability=0.81),
    Line("aurora-7b", "full_MMLU", PAGED, ability=0.63),
    Line("aurora-7b", "performance", PAGED, step_ms=18.0, changes=(_SLOWER_KERNEL,)),
    Line("aurora-7b", "performance_maxbs", PAGED, step_ms=18.0, changes=(_SLOWER_KERNEL,)),
    Line("borealis-14b", "full_BoolQ", PAGED, ability=0.86, quantize="w8a8"),
    Line("borealis-14b", "full_MMLU", PAGED, ability=0.70, quantize="w8a8", changes=(_WRONG_MASK,)),
    Line("borealis-14b", "full_MMLU", PAGED_BF16, ability=0.705, quantize="w8a8"),
    Line("borealis-14b", "performance", PAGED, step_ms=26.0, quantize="w8a8", changes=(_FASTER,)),
    Line("borealis-14b", "performance", PAGED_BF16, step_ms=26.0, quantize="w8a8"),
    Line("cirrus-2b", "full_BoolQ", PAGED, ability=0.69, changes=(_BETTER_TEMPLATE,)),
    Line("cirrus-2b", "full_BoolQ", REFERENCE, ability=0.69),
    Line("cirrus-2b", "full_MMLU", PAGED, ability=0.47),
    Line("cirrus-2b", "performance", PAGED, step_ms=6.5),
    Line("cirrus-2b", "performance_maxbs", PAGED, step_ms=6.5),
)
