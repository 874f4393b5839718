"""What a run holds as data frames of pandas. The extra `frames` brings pandas; nothing here imports it early.

Dtypes are the same for every run, also for an empty frame: texts are `string[python]`, what may be missing is
`Int64` or `boolean`, and a missing float is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from modeltest.api import Measurement, MissingExtra, RunResult, Sample
from modeltest.installation import install_command
from modeltest.metrics import METRICS
from modeltest.present.token_times import COLUMNS as TOKEN_COLUMNS
from modeltest.present.token_times import token_rows

if TYPE_CHECKING:
    import pandas

EXTRA = "frames"

_TEXT = "string[python]"

SAMPLES = {
    "index": "int64",
    "request_id": _TEXT,
    "subject": _TEXT,
    "category": _TEXT,
    "gold": _TEXT,
    "answer": _TEXT,
    "correct": "boolean",
    "margin": "float64",
    "logprobs": "object",
    "no_answer": "bool",
    "truncated": "bool",
    "text": _TEXT,
    "prompt_tokens": "int64",
    "output_tokens": "int64",
    "dropped_shots": "int64",
    "cut_prompt_tokens": "int64",
    "error": _TEXT,
    "prompt_sha256": _TEXT,
}
"""Column and dtype of `samples_frame`."""

TOKEN_LATENCY = dict(
    zip(
        TOKEN_COLUMNS,
        ("int64", "int64", "int64", _TEXT, "int64", _TEXT, "int64", "int64", "int64", "float64"),
        strict=True,
    )
)
"""Column and dtype of `token_latency_frame`."""

TRIALS = {
    "input_tokens": "int64",
    "output_tokens": "int64",
    "batch_size": "int64",
    "phase": _TEXT,
    "trial": "int64",
    "requests": "int64",
    "failed": "int64",
    **{metric.definition.name: "float64" for metric in METRICS},
    "peak_memory_bytes": "Int64",
    "peak_host_memory_bytes": "Int64",
    "memory_limit_bytes": "Int64",
    "out_of_memory": "bool",
    "error": _TEXT,
    "inputs_sha256": _TEXT,
}
"""Column and dtype of `trials_frame`."""


def samples_frame(samples: Iterable[Sample]) -> pandas.DataFrame:
    """Return one row per question, in the order in which they were answered.

    `logprobs` has a tuple of one log-probability per choice in nats, empty where there are none. `correct` is
    missing where the request failed: failed is not wrong.

    Raises: MissingExtra without pandas; ModelTestError when the journal is damaged.
    """
    return _frame(SAMPLES, [_sample_row(index, sample) for index, sample in enumerate(samples)])


def token_latency_frame(result: RunResult) -> pandas.DataFrame:
    """Return one row per output token of every trial: the rows of `token_latency.csv`.

    Raises: MissingExtra without pandas; ModelTestError when the journal is damaged.
    """
    return _frame(TOKEN_LATENCY, list(token_rows(result)))


def trials_frame(result: RunResult) -> pandas.DataFrame:
    """Return one row per timed batch, warm-up included, with its metrics as `docs/metrics.md` defines them.

    A metric that is not defined for a batch, such as one without token times, is NaN.

    Raises: MissingExtra without pandas; ModelTestError when the journal is damaged.
    """
    return _frame(TRIALS, [_trial_row(result, measurement) for measurement in result.measurements])


def _sample_row(index: int, sample: Sample) -> tuple[object, ...]:
    score, completion = sample.score, sample.completion
    return (
        index,
        score.request_id,
        score.subject,
        score.category,
        score.expected,
        score.predicted,
        score.correct,
        score.margin,
        completion.choice_logprobs,
        score.no_answer,
        score.truncated,
        completion.text,
        len(completion.prompt_tokens),
        len(completion.output_tokens),
        completion.dropped_shots,
        completion.cut_prompt_tokens,
        score.error,
        sample.prompt_sha256,
    )


def _trial_row(result: RunResult, measurement: Measurement) -> tuple[object, ...]:
    case = result.spec.cases[measurement.case_index]
    return (
        case.input_tokens,
        case.output_tokens,
        measurement.batch_size,
        measurement.phase,
        measurement.trial,
        len(measurement.completions),
        sum(completion.error is not None for completion in measurement.completions),
        *(metric.compute(measurement) for metric in METRICS),
        measurement.peak_memory_bytes,
        measurement.peak_host_memory_bytes,
        measurement.memory_limit_bytes,
        measurement.out_of_memory,
        measurement.error,
        measurement.inputs_sha256,
    )


def _frame(dtypes: dict[str, str], rows: Sequence[tuple[object, ...]]) -> pandas.DataFrame:
    if find_spec("pandas") is None:
        raise MissingExtra(
            f"data frames need pandas, which is not installed; `{install_command(EXTRA)}` brings it"
        )
    import pandas

    columns = zip(*rows, strict=True) if rows else [()] * len(dtypes)
    series = {
        name: pandas.Series(list(values), dtype=dtype)
        for (name, dtype), values in zip(dtypes.items(), columns, strict=True)
    }
    return pandas.DataFrame(series)
