"""Are the times of the engine `vllm` true? Held against timestamps in vLLM's output path, and against delays.

Run it where vLLM is installed: python benchmarks/vllm_times.py WEIGHTS
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import click

from engines.vllm.engine import VLLMEngine
from modeltest.api import Case, Completion, ModelInfo, Request, RunSpec, TokenPrompt

GOAL = 0.02
"""By this share TTFT and TPOT may differ from the timestamps."""


@dataclass(slots=True)
class Delays:
    """Seconds that the model's runner sleeps before it runs."""

    prefill_s: float = 0.0
    step_s: float = 0.0


@dataclass(slots=True)
class Stamps:
    """When rows went in, and when vLLM had made an output of each token: taken outside the engine `vllm`."""

    begin_ns: int | None = None
    tokens_ns: dict[str, list[int]] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin anew."""
        self.begin_ns = None
        self.tokens_ns = {}


@dataclass(frozen=True, slots=True)
class Times:
    """Means over the rows of a batch."""

    ttft_ms: float
    tpot_ms: float

    @staticmethod
    def of(rows: Sequence[Sequence[int]]) -> Times:
        """Return the times of rows of token times, in nanoseconds since the batch went in."""
        return Times(
            fmean(row[0] for row in rows) / 1e6,
            fmean((row[-1] - row[0]) / (len(row) - 1) for row in rows) / 1e6,
        )


def watch(raw: Any, stamps: Stamps, delays: Delays) -> None:
    """Have vLLM's engine stamp what goes in and comes out, and sleep as `delays` say."""
    add, process, execute = (
        raw.add_request,
        raw.output_processor.process_outputs,
        raw.model_executor.execute_model,
    )

    def adding(*given: Any, **named: Any) -> Any:
        if stamps.begin_ns is None:
            stamps.begin_ns = time.perf_counter_ns()
        return add(*given, **named)

    def processing(outputs: Any, *given: Any, **named: Any) -> Any:
        done = process(outputs, *given, **named)
        now_ns = time.perf_counter_ns()
        for output in outputs:
            stamps.tokens_ns.setdefault(output.request_id, []).extend([now_ns] * len(output.new_token_ids))
        return done

    def executing(planned: Any, *given: Any, **named: Any) -> Any:
        time.sleep(delays.prefill_s if planned.scheduled_new_reqs else delays.step_s)
        return execute(planned, *given, **named)

    raw.add_request = adding
    raw.output_processor.process_outputs = processing
    raw.model_executor.execute_model = executing


def measured(ask: Callable[[], list[Completion]], stamps: Stamps) -> tuple[Times, Times]:
    """Return the times that the engine tells of one batch, and those of the stamps."""
    stamps.forget()
    completions = ask()
    begin_ns = stamps.begin_ns or 0
    theirs = [[at - begin_ns for at in row] for row in stamps.tokens_ns.values()]
    return Times.of([one.token_times_ns for one in completions]), Times.of(theirs)


def load(weights: str, case: Case, rows: int) -> tuple[VLLMEngine, int]:
    """Return the engine with the model in `weights`, loaded for `case`, and the size of its vocabulary."""
    spec = RunSpec(
        "vllm_fp32", "performance", "performance", "auto", weights,
        dtype="float32", cases=(case,), batch_sizes=((rows,),),
    )  # fmt: skip
    model = ModelInfo("auto", "auto", weights, "", "float32", None, None, 128, 1, None)
    engine = VLLMEngine()
    engine.check(spec, model)
    os.environ.update(engine.environment(spec, model))
    return engine, engine.load(spec, model).vocabulary_size


@click.command()
@click.argument("weights", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--input-tokens", type=click.IntRange(min=1), default=128, show_default=True, metavar="N")
@click.option("--output-tokens", type=click.IntRange(min=2), default=32, show_default=True, metavar="N")
@click.option("--batch-size", type=click.IntRange(min=1), default=4, show_default=True, metavar="N")
@click.option("--trials", type=click.IntRange(min=1), default=7, show_default=True, metavar="N")
@click.option("--delay-ms", type=click.FloatRange(min=0), default=20.0, show_default=True, metavar="MS")
def main(
    weights: Path, *, input_tokens: int, output_tokens: int, batch_size: int, trials: int, delay_ms: float
) -> None:
    """Print, as Markdown, TTFT and TPOT with and without delays beside the timestamps."""
    case = Case(input_tokens, output_tokens)
    engine, vocabulary = load(str(weights), case, batch_size)
    stamps, delays = Stamps(), Delays()
    watch(engine._require().core._raw, stamps, delays)

    def ask() -> list[Completion]:
        requests = [
            Request(str(row), prompt, max_new_tokens=output_tokens, ignore_eos=True)
            for row, prompt in enumerate(_prompts(batch_size, input_tokens, vocabulary))
        ]
        return [one for batch in engine.complete(requests, batch_size=batch_size) for one in batch]

    ask()
    click.echo("| delay | TTFT ms | stamped | apart | TPOT ms | stamped | apart |")
    click.echo("|---|---:|---:|---:|---:|---:|---:|")
    plans = {"none": (0.0, 0.0), "each step": (0.0, delay_ms), "prefill": (5 * delay_ms, 0.0)}
    for name, (prefill_ms, step_ms) in plans.items():
        delays.prefill_s, delays.step_s = prefill_ms / 1e3, step_ms / 1e3
        pairs = [measured(ask, stamps) for _ in range(trials)]
        click.echo(_row(f"{name}, {max(prefill_ms, step_ms):g} ms" if name != "none" else name, pairs))
    engine.close()


def _prompts(rows: int, tokens: int, vocabulary: int) -> list[TokenPrompt]:
    """Return prompts that begin differently."""
    return [
        TokenPrompt(tuple((row * 131 + at * 7) % vocabulary for at in range(tokens))) for row in range(rows)
    ]


def _row(name: str, pairs: Sequence[tuple[Times, Times]]) -> str:
    cells = [name]
    for what in ("ttft_ms", "tpot_ms"):
        ours, theirs = (median(getattr(each[side], what) for each in pairs) for side in (0, 1))
        cells += [f"{ours:.2f}", f"{theirs:.2f}", f"{(ours - theirs) / theirs:+.2%}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
