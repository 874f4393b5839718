import re
import shlex

import pytest

from modeltest.acceptance.accept import Accept
from modeltest.api import PREDECESSOR_MODES, Argument
from modeltest.grammar.modes import ENGINE_WORDS, all_modes
from modeltest.grammar.parse import parse
from modeltest.grammar.usage import example_words, usage

MODES = all_modes([])
EVERY_MODE = pytest.mark.parametrize("mode", PREDECESSOR_MODES, ids=lambda mode: mode.word)


def example_of(text):
    (line,) = (line for line in text.splitlines() if line.startswith("example: run.sh "))
    return shlex.split(line.removeprefix("example: run.sh "))


@EVERY_MODE
def test_the_example_of_every_mode_parses(mode):
    words = example_of(usage(mode))
    assert words == list(example_words(mode))
    assert parse(words, modes=MODES, model_keys=("llama",)).mode == mode.word


@EVERY_MODE
def test_every_word_of_the_syntax_has_a_line(mode):
    syntax, *lines = usage(mode).splitlines()
    explained = {name for line in lines for name in line.split()[0].split("|")}
    # `INF` and the literals that introduce a named word are explained with it.
    words = set(re.findall(r"[A-Za-z_]+", syntax.split(f" {mode.word} ")[1]))
    assert words - {"INF", "lora", "dataset", "prefill_length"} <= explained


@EVERY_MODE
def test_the_usage_of_a_mode_begins_with_its_syntax(mode):
    assert usage(mode).startswith(f"usage: run.sh TYPE {mode.word} ")


def test_the_syntax_of_few_shot_modes():
    assert usage(MODES["full_CEval"]).splitlines()[0] == (
        "usage: run.sh TYPE full_CEval SHOTS BATCH MODEL [chat|base] [lora JSONL] WEIGHTS "
        "[trust_remote_code] [KW] [CHIPS | RANKTABLE WORLD NODES RANK_START MASTER_IP] [PAR] [MAXPOS]"
    )


def test_only_performance_offers_batch_sizes_per_case():
    with_lists = [mode.word for mode in PREDECESSOR_MODES if "[[1,4],[8]]" in usage(mode)]
    assert with_lists == ["performance"]


def test_the_default_of_absent_ranges_is_documented():
    assert "without it 1 to 2048 in every case" in usage(MODES["performance_maxbs"])


def test_the_overview_names_every_mode_and_engine():
    words = re.findall(r"[\w-]+", usage(None))
    assert {mode.word for mode in PREDECESSOR_MODES} <= set(words)
    assert {engine.word for engine in ENGINE_WORDS} <= set(words)


def test_the_overview_groups_modes_by_the_words_after_them():
    assert "    (performance_single | precision_single) CASES PROMPTS BATCH\n" in usage(None)
    assert "    full_NeedleBench CTX BATCH\n" in usage(None)


def test_the_example_of_the_overview_parses():
    assert parse(example_of(usage(None)), modes=MODES, model_keys=("llama",)).task == "boolq"


def test_every_argument_can_be_explained():
    shown = {argument for mode in (*PREDECESSOR_MODES, *Accept.modes) for argument in mode.arguments}
    assert shown == set(Argument)


def test_no_line_but_the_syntax_is_long():
    for mode in (None, *PREDECESSOR_MODES):
        assert all(len(line) < 160 for line in usage(mode).splitlines()[1:])
