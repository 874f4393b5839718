"""Results of every kind for the tests of what is shown of them."""

from modeltest.api import (
    AccuracySummary,
    Case,
    CaseSummary,
    Distribution,
    EngineInfo,
    FirstDifference,
    MaxBatchCase,
    ModelInfo,
    PrecisionOutput,
    PrecisionSummary,
    Probe,
    ProbeDecision,
    RunResult,
    RunSpec,
    SearchStatus,
    TaskOptions,
    Verdict,
)
from modeltest.statistics import proportion

RESULT = RunResult(
    spec=RunSpec("hf_fp32", "full_CEval", "ceval", "llama", "/w", options=TaskOptions(shots=5)),
    started="2026-01-02T03:04:05+00:00",
    status="complete",
    model=ModelInfo("llama", "llama2_7b", "/w", "llama", "float32", None, 4096, 128, 8, None),
    adapter="hf",
    engine=EngineInfo("hf", "cpu", "float32", 100, (), 4096, {}),
    dataset=None,
    machine={},
    verdict=Verdict.VALID,
)
ACCURACY = AccuracySummary(
    micro=proportion(6, 8),
    macro=0.7,
    subjects={"law": proportion(3, 3), "logic": proportion(3, 5)},
    categories={"Other": proportion(3, 3), "STEM": proportion(3, 5)},
    groups={"C-Eval Hard": proportion(0, 2)},
    failed=1,
    no_answer=0,
    truncated=2,
    dropped_shots=0,
    cut_prompts=0,
    near_ties=("law/1",),
    near_tie_margin=1e-4,
    prompts_sha256="0",
)
CASE = CaseSummary(
    Case(64, 32),
    4,
    trials=5,
    warmup_trials=1,
    metrics={"tpot_ms": Distribution(5, 2.5, 2.5, 0.1, 0.04, 0.1, 2.4, 2.6)},
    peak_memory_bytes=None,
    verdict=Verdict.VALID,
    reasons=(),
)
SEARCH = MaxBatchCase(
    case=Case(64, 32),
    lowest=1,
    highest=64,
    limit_ms=20.0,
    status=SearchStatus.FOUND,
    reason="batch 4 exceeds the limit of 20 ms",
    max_batch=3,
    latency_ms=19.5,
    high_ms=19.8,
    bound=4,
    verdict=Verdict.VALID,
    reasons=(),
    probes=(
        Probe(3, ProbeDecision.PASS, 19.5, 19.2, 19.8, (19.5,) * 5, (21.0,), is_certified=True),
        Probe(4, ProbeDecision.FAIL, screens_ms=(24.0, 23.0)),
        Probe(8, ProbeDecision.OUT_OF_MEMORY),
    ),
    measured=(),
)
PRECISION = PrecisionSummary(
    (
        PrecisionOutput(
            *(Case(8, 3), 2, 0, (5, 6), (7, 8, 9), None, "[red]so\nlong" + "g" * 60, 2, 1),
            FirstDifference(1, 0, 7, 8),
            Verdict.INVALID,
            ("rows differ",),
        ),
        PrecisionOutput(Case(8, 3), 4, 0, (5, 6), (7, 8, 9), None, None, 4, 0, None, Verdict.VALID, ()),
    )
)
