import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import SpecError
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import GrammarError, parse, usage

MODES = all_modes([])
KEYS = ("gemma", "internlm", "internlm2", "llama")


def refused(command):
    """Return the message of the error without the usage, which must be that of the mode."""
    words = shlex.split(command)
    with pytest.raises(GrammarError) as caught:
        parse(words, modes=MODES, model_keys=KEYS)
    mode = MODES.get(words[1]) if len(words) > 1 else None
    assert str(caught.value).endswith("\n" + usage(mode))
    return str(caught.value).removesuffix("\n" + usage(mode))


def test_a_grammar_error_ends_with_status_2():
    assert issubclass(GrammarError, SpecError)
    assert GrammarError.exit_code == 2


@pytest.mark.parametrize(
    ("command", "position", "expected"),
    [
        ("", 1, "the engine"),
        ("fake", 2, "the mode"),
        ("fake full_BoolQ", 3, "the batch size"),
        ("fake full_BoolQ 1", 4, "the model key"),
        ("fake full_BoolQ 1 llama", 5, "the folder of the weights"),
        ("fake full_BoolQ 1 llama chat", 6, "the folder of the weights"),
        ("fake full_BoolQ 1 llama lora", 6, "the file that names the LoRA adapter"),
        ("fake full_BoolQ 1 llama lora x", 7, "the folder of the weights"),
        ("fake full_CEval", 3, "the number of worked examples"),
        ("fake full_CEval 5", 4, "the batch size"),
        ("fake full_NeedleBench", 3, "the context length"),
        ("fake performance", 3, "the cases"),
        ("fake performance []", 4, "the batch size"),
        ("fake performance [] 1 prefill_length", 6, "the prefill length"),
        ("fake performance [] 1 dataset", 6, "the dataset the prompts come from"),
        ("fake performance_maxbs []", 4, "the latency limit"),
        ("fake performance_single []", 4, "the prompts"),
        ("fake full_BoolQ 1 llama W ranks.json", 7, "the number of chips of all nodes"),
        ("fake full_BoolQ 1 llama W ranks.json 16", 8, "the number of nodes"),
        ("fake full_BoolQ 1 llama W ranks.json 16 2", 9, "the first rank of this node"),
        ("fake full_BoolQ 1 llama W ranks.json 16 2 8", 10, "the address of the first node"),
    ],
)
def test_a_missing_word_is_named_with_its_position(command, position, expected):
    assert refused(command).startswith(f"word {position} is missing: expected {expected}")


@pytest.mark.parametrize(
    ("command", "position", "word", "expected"),
    [
        ("fake full_BoolQ x llama W 1", 3, "x", "the batch size (a number such as 8, or [1,4])"),
        ("fake full_BoolQ 0 llama W 1", 3, "0", "the batch size"),
        ("fake full_BoolQ [1,-4] llama W 1", 3, "[1,-4]", "the batch size"),
        ("fake full_BoolQ [[1],[4]] llama W 1", 3, "[[1],[4]]", "the batch size"),
        ("fake full_CEval -1 1 llama W 1", 3, "-1", "the number of worked examples"),
        ("fake full_CEval 5 llama W 1", 4, "llama", "the batch size"),
        ("fake full_NeedleBench 5k 1 llama W 1", 3, "5k", "the context length (4k, 8k,"),
        ("fake performance [[0,1]] 1 llama W 1", 3, "[[0,1]]", "the cases"),
        ("fake performance [[1,1]] 1 0 llama W 1", 5, "0", "the prefill batch size"),
        ("fake performance [[1,1]] 1 prefill_length 0 llama W 1", 6, "0", "the prefill length"),
        ("fake performance [[1,1]] 1 dataset mmlu llama W 1", 6, "mmlu", "the dataset"),
        ("fake performance [[1,1]] 1 dataset boolq 0 llama W 1", 7, "0", "the number of batches"),
        ("fake performance_maxbs [[1,1]] [[5,4]] 50 llama W 1", 4, "[[5,4]]", "the batch sizes to search"),
        ("fake performance_maxbs [[1,1]] [[1,4]] 0 llama W 1", 5, "0", "the latency limit"),
        ("fake performance_maxbs [[1,1]] 50ms llama W 1", 4, "50ms", "the latency limit"),
        ("fake full_BoolQ 1 llama W -8", 6, "-8", "the number of chips"),
        ("fake full_BoolQ 1 llama W '{encrypt}' 8", 6, "{encrypt}", "engine options"),
        ("fake full_BoolQ 1 llama W 8 [0]", 7, "[0]", "up to 8 parallel degrees"),
        ("fake full_BoolQ 1 llama W 8 0", 7, "0", "the maximum position"),
        ("fake full_BoolQ 1 llama W 8 [1] [1]", 8, "[1]", "the maximum position"),
        ("fake full_BoolQ 1 llama W r.json 16 3 0 h", 8, "3", "the number of nodes"),
        ("fake full_BoolQ 1 llama W r.json 16 2 4 h", 9, "4", "the first rank of this node"),
        ("fake full_BoolQ 1 llama W r.json 16 2 8 [1]", 10, "[1]", "the address of the first node"),
    ],
)
def test_a_wrong_word_is_named_with_its_position_and_what_was_expected(command, position, word, expected):
    assert refused(command).startswith(f"word {position} {word!r}: expected {expected}")


@pytest.mark.parametrize(
    ("command", "position", "word"),
    [
        ("fake full_BoolQ 1 llama W 8 4096 x", 8, "x"),
        ("fake full_BoolQ 1 llama W 8 [1] 4096 9", 9, "9"),
        ("fake full_BoolQ 1 llama W [1] 4096", 7, "4096"),
        ("fake full_BoolQ 1 llama W r.json 16 2 8 h [1] 10 x", 13, "x"),
    ],
)
def test_no_word_is_ignored(command, position, word):
    assert refused(command).startswith(f"word {position} {word!r}: expected no more words")


def test_an_unknown_engine_lists_what_there_is():
    assert refused("pb full_BoolQ 1 gemma W 8") == (
        "word 1 'pb': expected the engine (such as pa_fp16); unknown engine 'pb'; available: basic, fa, "
        "fake, hf, hf_bf16, hf_fp16, hf_fp32, openai, openai_bf16, openai_fp16, openai_fp32, "
        "pa_bf16, pa_fp16, vllm_bf16, vllm_fp16, vllm_fp32; did you mean pa_bf16?"
    )


def test_an_unknown_mode_lists_what_there_is():
    message = refused("fake full_boolq 1 gemma W 8")
    assert message.startswith("word 2 'full_boolq': expected the mode")
    assert "simplified_GSM8K" in message
    assert message.endswith("did you mean full_BoolQ?")


def test_an_unknown_model_key_offers_the_ways_out():
    assert refused("fake full_BoolQ 1 gema W 8").endswith(
        "unknown model key 'gema'; did you mean gemma?; "
        "`modeltest list models` shows all; use `auto` to take it from config.json"
    )


def test_a_word_that_is_no_number_was_read_as_a_rank_table():
    assert refused("fake full_BoolQ 1 llama W eight").endswith(
        "'eight' is not a number, so it was read as a rank table file"
    )
    assert "'8.0' is not a number" in refused("fake full_BoolQ 1 llama W 8.0 4096")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("fake full_BoolQ 1 llama W 8 trust_remote_code", "trust_remote_code stands directly after WEIGHTS"),
        ("fake full_BoolQ 1 llama trust_remote_code W 8", "trust_remote_code stands directly after WEIGHTS"),
        ("fake full_BoolQ 1 chat llama W 8", "chat stands directly after MODEL"),
        ("fake full_BoolQ 1 llama W chat 8", "chat stands directly after MODEL"),
        ("fake full_BoolQ 1 llama lora a.jsonl base W 8", "base stands directly after MODEL"),
        ("fake full_BoolQ 1 llama W lora a.jsonl 8", "lora stands before WEIGHTS"),
        ("fake full_BoolQ 1 llama W [1] chat", "chat stands directly after MODEL"),
    ],
)
def test_a_misplaced_word_is_told_its_place(command, hint):
    assert refused(command).endswith(hint)


@pytest.mark.parametrize(
    ("command", "position"),
    [
        ("fake performance [[2048, 2048]] 1 llama W 8", 3),
        ("fake performance [[256,256], [512,512]] 1 llama W 8", 3),
        ("fake performance [[256,256]] [1, 4] llama W 8", 4),
        ("fake performance_maxbs [[256,256]] [[1, 2048]] 50 llama W 8", 4),
        ("fake full_BoolQ 1 llama W 8 [1, 8]", 7),
        ("fake full_BoolQ 1 llama W 8 4096 8]", 8),
    ],
)
def test_a_list_split_at_blanks_is_explained(command, position):
    message = refused(command)
    assert message.startswith(f"word {position} ")
    assert message.endswith("if the shell split a list at a blank, put the list in quotes")


def test_a_list_replaced_by_a_file_name_is_explained():
    assert refused("fake performance a 1 llama W 8").endswith(
        "put lists in quotes, the shell replaces an unquoted [..] by file names"
    )


def test_ranges_and_cases_are_counted():
    assert refused("fake performance_maxbs [[1,1],[2,2]] [[1,9]] 50 llama W 1").endswith(
        "it has 1 inner list(s) for 2 case(s): write one per case"
    )
    assert refused("fake performance [[1,1],[2,2]] [[1],[2],[3]] llama W 1").endswith(
        "it has 3 inner list(s) for 2 case(s): write one per case"
    )


def test_an_empty_word_hints_at_an_unset_variable():
    assert refused("fake full_BoolQ 1 llama '' 8").endswith("it is empty: is a shell variable unset?")


def test_a_very_long_word_is_cut_in_the_message():
    assert len(refused("fake full_BoolQ 1 " + "x" * 10_000 + " W 8")) < 500


WORDS = st.sampled_from(
    [
        *(
            "fake",
            "pa_fp16",
            "full_BoolQ",
            "full_CEval",
            "performance",
            "performance_maxbs",
            "full_NeedleBench",
        ),
        *("precision_single", "llama", "auto", "chat", "base", "lora", "trust_remote_code", "W", "r.json"),
        *("0", "1", "8", "-1", "50", "0.5", "4k", "INF", "padding", "dataset", "boolq", "prefill_length"),
        *("[]", "[1,4]", "[[1,4]]", "[[1,4],[8,8]]", "[[1,", "4]]", '{"encrypt": 1}', "10.0.0.1", ""),
    ]
)


@given(st.lists(WORDS | st.text(max_size=12), max_size=16))
def test_no_words_raise_anything_but_a_grammar_error(words):
    try:
        said = parse(words, modes=MODES, model_keys=KEYS).mode
    except GrammarError as problem:
        said = str(problem)
    assert said in MODES or "usage: run.sh" in said


@given(st.sampled_from(sorted(MODES)), st.lists(WORDS, max_size=14))
def test_what_follows_a_mode_is_either_read_or_refused_with_its_usage(mode, rest):
    words = ["fake", mode, *rest]
    try:
        spec = parse(words, modes=MODES, model_keys=KEYS)
    except GrammarError as problem:
        message = str(problem)
    else:
        assert spec.mode == mode
        return
    assert message.startswith("word ")
    assert message.endswith(usage(MODES[mode]))


@given(st.lists(WORDS | st.text(max_size=12), min_size=1, max_size=4))
def test_a_complete_command_refuses_any_further_word(extra):
    complete = ["fake", "full_BoolQ", "1", "llama", "W", "8", "[1]", "4096"]
    with pytest.raises(GrammarError, match=r"^word 9 .*expected no more words"):
        parse([*complete, *extra], modes=MODES, model_keys=KEYS)
