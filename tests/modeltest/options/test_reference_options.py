from pathlib import Path

import click
import pytest

from modeltest.api import SpecError
from modeltest.options.asked import COMMANDS, keywords_of
from modeltest.options.references import TwinOrder, reference_make


def asked(*words):
    context = reference_make.make_context("make", list(words))
    with context:
        return reference_make.callback(**context.params)


MADE = ("--model", "/w", "--engine", "fake", "--out", "x.ref")


def test_each_task_is_a_run_with_the_options_of_accuracy():
    found = asked(
        *MADE,
        "--task",
        "mmlu:5",
        "--task",
        "boolq",
        "--protocol",
        "lm-eval",
        "--limit",
        "3",
        "--batch-size",
        "4",
    )
    mmlu, boolq = found.specs
    assert (mmlu.task, mmlu.options.shots, boolq.task, boolq.options.shots) == ("mmlu", 5, "boolq", 0)
    for spec in found.specs:
        assert (spec.protocol, spec.limit, spec.batch_sizes, spec.weights) == ("lm-eval", 3, ((4,),), "/w")
        assert spec.allow_dtype_cast
        assert (spec.lora, spec.cluster) == (None, None)
    assert found.out == Path("x.ref").absolute()


def test_shots_count_for_tasks_that_say_none():
    found = asked(*MADE, "--task", "mmlu", "--task", "boolq:0", "--shots", "2")
    assert [spec.options.shots for spec in found.specs] == [2, 0]


def test_twins_are_computed_in_every_order():
    orders = asked(*MADE, "--task", "boolq").twins
    assert [order.name for order in orders] == ["bf16-batch-1", "bf16-batch-8", "bf16-batch-32"]
    assert orders[0] == TwinOrder("bfloat16", None, 1, None)
    more = asked(
        *MADE,
        *("--task", "boolq", "--twin", "fp16", "--twin", "hf_paged:bf16", "--twin-batch-size", "2"),
        *("--twin-threads", "1", "--twin-threads", "2", "--twin", "fp16"),
    ).twins
    assert [order.name for order in more] == [
        "fp16-batch-2-threads-1",
        "fp16-batch-2-threads-2",
        "hf_paged-bf16-batch-2-threads-1",
        "hf_paged-bf16-batch-2-threads-2",
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "give --task NAME for what is to be asked, or --from-run DIR"),
        (("--task", "boolq", "--from-run", "/r"), "not both"),
        (("--task", "boolq", "--task", "boolq:1"), "--task boolq is given twice"),
        (("--task", "mmlu:five"), "expected NAME or NAME:SHOTS"),
        (("--task", "mmlu:"), "expected NAME or NAME:SHOTS"),
        (("--task", "mmlu:-1"), "expected NAME or NAME:SHOTS"),
        (("--task", "mmul"), "unknown task 'mmul'"),
        (("--task", "performance"), "asks no questions"),
        (("--task", "boolq", "--twin", "int8"), "expected one of fp32, bf16, fp16"),
        (("--task", "boolq", "--twin", ":bf16"), "expected one of fp32"),
        (("--task", "boolq", "--twin", "pa_fp16:bf16"), "pa_fp16 means float16"),
        (("--task", "boolq", "--twin", "pb:bf16"), "unknown engine 'pb'"),
    ],
)
def test_words_that_make_no_sense_are_refused(words, reason):
    with pytest.raises(SpecError, match=reason):
        asked(*MADE, *words)


def test_a_model_is_needed_to_ask_and_not_for_runs_that_are_there():
    with pytest.raises(SpecError, match="no model to ask"):
        asked("--out", "x.ref", "--task", "boolq")
    found = asked("--out", "x.ref", "--from-run", "/r")
    assert (found.specs, found.from_runs) == ((), (Path("/r"),))


def test_options_of_timed_runs_several_nodes_and_adapters_are_not_taken():
    names = keywords_of(reference_make).keys()
    assert not names & {"quick", "min_trials", "rank_table", "node_rank", "lora", "output", "task_file"}
    left = keywords_of(COMMANDS["accuracy"]).keys() - names
    assert left == {
        *("task_file", "output", "quick", "min_trials", "case_budget_s", "lora", "rank_table", "node_rank"),
        "allow_dtype_cast",
    }
    with pytest.raises(click.NoSuchOption):
        asked(*MADE, "--task", "boolq", "--lora", "x")
