import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import BatchRange, Case, Parallel
from modeltest.grammar import words as read


def refused(reader, text, **options):
    with pytest.raises(read.WordError) as caught:
        reader(text, **options)
    return str(caught.value)


@pytest.mark.parametrize("text", ["10", "20", "40", "100", "1000", "8", "010"])
def test_numbers_may_contain_zeros(text):
    assert read.read_count(text) == int(text)


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "1e3", "+1", " 1", "1\n", "1_000", "\u0661", "\u00b2", "9" * 5000]
)
def test_a_count_is_written_in_plain_digits(text):
    assert refused(read.read_count, text) == "it is not a whole number"


def test_a_count_below_the_lowest_is_refused():
    assert refused(read.read_count, "0") == "it is below 1"
    assert refused(read.read_count, "-1", lowest=0) == "it is below 0"
    assert read.read_count("0", lowest=0) == 0


def test_cases_are_pairs_of_input_and_output_tokens():
    assert read.read_cases("[[2048,1024],[10,100]]") == (Case(2048, 1024), Case(10, 100))


@pytest.mark.parametrize("text", ["[]", "[ ]", " [] "])
def test_the_empty_list_stands_for_four_squares(text):
    assert read.read_cases(text) == (Case(256, 256), Case(512, 512), Case(1024, 1024), Case(2048, 2048))


@pytest.mark.parametrize("text", ["[[256, 256], [512, 512]]", " [ [256 ,256],\t[512,512 ] ] "])
def test_blanks_beside_brackets_and_commas_do_not_matter(text):
    assert read.read_cases(text) == (Case(256, 256), Case(512, 512))


@pytest.mark.parametrize(
    "text", ["[[25 6,256]]", "[[256 256]]", "[256,256]", "[[256,256],]", "[[a,b]]", "[[1.5,2]]"]
)
def test_other_forms_are_no_cases(text):
    assert refused(read.read_cases, text) == "it is not a list of whole numbers of that form"


@pytest.mark.parametrize("text", ["[[256]]", "[[256,256,256]]", "[[]]"])
def test_a_case_has_two_numbers(text):
    assert "each inner list has two numbers" in refused(read.read_cases, text)


@pytest.mark.parametrize("text", ["[[0,256]]", "[[256,0]]", "[[-1,256]]"])
def test_lengths_are_at_least_one(text):
    assert "every number is at least 1" in refused(read.read_cases, text)


@pytest.mark.parametrize("text", ["[[2048,", "2048]]", "[[2048,2048]", "[[2048,2048],"])
def test_a_list_split_by_the_shell_is_explained(text):
    assert "if the shell split a list at a blank, put the list in quotes" in refused(read.read_cases, text)


@pytest.mark.parametrize("text", ["a", "file.txt", "2048,2048", ""])
def test_a_list_replaced_by_the_shell_is_explained(text):
    assert "the shell replaces an unquoted [..] by file names" in refused(read.read_cases, text)


def test_ranges_come_one_per_case():
    assert read.read_ranges("[[1,2048],[200,200]]", cases=2) == (BatchRange(1, 2048), BatchRange(200, 200))
    assert "it has 1 inner list(s) for 2 case(s)" in refused(read.read_ranges, "[[1,2048]]", cases=2)
    assert "it has 2 inner list(s) for 1 case(s)" in refused(read.read_ranges, "[[1,2],[3,4]]", cases=1)


def test_a_range_begins_with_its_lower_end():
    assert "the range [20,10] is empty" in refused(read.read_ranges, "[[20,10]]", cases=1)


@pytest.mark.parametrize("text", ["[1,2000]", "[]", "[[0,5]]", "[[1]]"])
def test_other_forms_are_no_ranges(text):
    assert refused(read.read_ranges, text, cases=1)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("8", (8,)),
        ("100", (100,)),
        ("1,4", (1, 4)),
        ("[16]", (16,)),
        ("[1,4,10]", (1, 4, 10)),
        ("[1, 4]", (1, 4)),
    ],
)
def test_batch_sizes_are_a_number_or_a_list(text, sizes):
    assert read.read_batch_sizes(text) == (sizes,)
    assert read.read_batch_sizes_per_case(text, cases=3) == (sizes,)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1,", ",1", "1,0", "[0]", "[]", "[1,", "1]", "a", "1.5", "[[1]]", "1 4"]
)
def test_other_forms_are_no_batch_sizes(text):
    assert refused(read.read_batch_sizes, text)


def test_nested_batch_sizes_come_one_list_per_case():
    assert read.read_batch_sizes_per_case("[[1,4],[8]]", cases=2) == ((1, 4), (8,))
    problem = refused(read.read_batch_sizes_per_case, "[[1],[2],[3]]", cases=2)
    assert problem == "it has 3 inner list(s) for 2 case(s): write one per case"


@pytest.mark.parametrize("text", ["[[1],[]]", "[[1],[0]]", "[[1],2]", "[[1],[2]"])
def test_other_forms_are_no_nested_batch_sizes(text):
    assert refused(read.read_batch_sizes_per_case, text, cases=2)


@pytest.mark.parametrize(
    ("text", "limit_ms"), [("50", 50.0), ("0.5", 0.5), (".5", 0.5), ("100", 100.0), ("1e3", 1000.0)]
)
def test_the_limit_is_a_positive_number(text, limit_ms):
    assert read.read_limit_ms(text) == limit_ms


@pytest.mark.parametrize(
    "text", ["0", "0.0", "-5", "nan", "inf", "Infinity", "1e999", "50ms", "", "1_0", "5."]
)
def test_other_forms_are_no_limit(text):
    assert refused(read.read_limit_ms, text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("4k", 4096), ("8k", 8192), ("32k", 32768), ("128k", 131072), ("200k", 204800), ("1000k", 1024000)],
)
def test_a_context_word_counts_in_units_of_1024(text, tokens):
    assert read.read_context_tokens(text) == tokens


@pytest.mark.parametrize("text", ["4", "4096", "5k", "4K", "k", ""])
def test_another_context_lists_what_is_allowed(text):
    assert refused(read.read_context_tokens, text) == "allowed: 4k, 8k, 32k, 128k, 200k, 256k, 1000k"


@pytest.mark.parametrize("name", ["boolq", "gsm8k", "humaneval", "ceval", "customize"])
def test_five_datasets_may_feed_performance(name):
    assert read.read_performance_dataset(name) == name


def test_another_dataset_lists_what_is_allowed():
    assert (
        refused(read.read_performance_dataset, "mmlu") == "allowed: boolq, gsm8k, humaneval, ceval, customize"
    )


def test_batch_groups_are_a_number_or_all():
    assert read.read_batch_groups("10") == 10
    assert read.read_batch_groups("INF") is None
    assert refused(read.read_batch_groups, "0")


@pytest.mark.parametrize("text", ['["hello","what is your name"]', "input.txt", "[[1,2],[3]]", " [1] "])
def test_prompts_stay_as_given(text):
    assert read.read_prompt(text) == text


def test_torn_prompts_are_explained():
    assert "put the list in quotes" in refused(read.read_prompt, '["hello",')


def test_paths_stay_as_given():
    assert read.read_path("../w eights/模型") == "../w eights/模型"


@pytest.mark.parametrize("text", ["chat", "base", "lora", "trust_remote_code"])
def test_a_word_with_a_meaning_is_no_path(text):
    assert refused(read.read_path, text) == f"a path of that name is written ./{text}"
    assert read.read_path(f"./{text}") == f"./{text}"


def test_an_empty_path_hints_at_an_unset_variable():
    assert "is a shell variable unset?" in refused(read.read_path, "")


def test_kw_args_are_a_json_object_kept_as_text():
    text = '{"encrypt_enable": 1}'
    assert read.read_kw_args(text) == text


@pytest.mark.parametrize(
    "text", ["encrypt", "{encrypt:1}", '["encrypt"]', '"encrypt"', '{"encrypt":' + "[" * 100_000]
)
def test_other_forms_are_no_kw_args(text):
    assert "JSON" in refused(read.read_kw_args, text)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("[]", Parallel()),
        ("[2]", Parallel(dp=2)),
        ("[-1,8]", Parallel(tp=8)),
        ("[1,2,3,4,5,6,7,8]", Parallel(dp=1, tp=2, sp=3, moe_tp=4, moe_ep=5, pp=6, microbatch=7, cp=8)),
        ("[-1, 10, -1]", Parallel(tp=10)),
    ],
)
def test_parallel_degrees_not_given_stay_unset(text, degrees):
    assert read.read_parallel(text) == degrees


@pytest.mark.parametrize("text", ["[0]", "[-2]", "[1,2,3,4,5,6,7,8,9]", "[a]", "8", "[1", "[[1]]"])
def test_other_forms_are_no_parallel_degrees(text):
    assert refused(read.read_parallel, text)


def test_too_many_parallel_degrees_are_counted():
    assert "it has 9 numbers; at most 8" in refused(read.read_parallel, "[1,1,1,1,1,1,1,1,1]")


def test_a_maximum_position_of_minus_one_is_unset():
    assert read.read_max_position("-1") is None
    assert read.read_max_position("2048") == 2048
    for text in ("0", "-2", "2k"):
        refused(read.read_max_position, text)


def test_nodes_share_out_the_chips_evenly():
    assert read.read_divisor("4", of=32) == 4
    assert refused(read.read_divisor, "3", of=16) == "16 chips cannot be shared out evenly to 3 nodes"
    assert refused(read.read_divisor, "0", of=16)


@pytest.mark.parametrize(("text", "rank"), [("0", 0), ("8", 8), ("24", 24)])
def test_a_node_begins_at_a_multiple_of_its_chips(text, rank):
    assert read.read_rank_start(text, world_size=32, nodes=4) == rank


@pytest.mark.parametrize("text", ["7", "32", "-8"])
def test_other_ranks_do_not_begin_a_node(text):
    assert refused(read.read_rank_start, text, world_size=32, nodes=4)


def test_allowed_first_ranks_are_listed_up_to_eight():
    assert refused(read.read_rank_start, "1", world_size=4, nodes=2).endswith("begin at 0, 2")
    assert refused(read.read_rank_start, "99", world_size=20, nodes=20).endswith(
        "at 0, 1, 2, 3, 4, 5, 6, 7, ..."
    )


@pytest.mark.parametrize("text", ["10.0.0.1", "node-0.cluster.local", "fe80::1%eth0"])
def test_an_address_is_a_host_or_ip(text):
    assert read.read_address(text) == text


@pytest.mark.parametrize("text", ["", "[1]", "a b", "http://x"])
def test_other_forms_are_no_address(text):
    assert refused(read.read_address, text)


READERS = [
    read.read_count,
    read.read_cases,
    lambda text: read.read_ranges(text, cases=2),
    read.read_batch_sizes,
    lambda text: read.read_batch_sizes_per_case(text, cases=2),
    read.read_limit_ms,
    read.read_context_tokens,
    read.read_batch_groups,
    read.read_prompt,
    read.read_path,
    read.read_kw_args,
    read.read_address,
    read.read_parallel,
    read.read_max_position,
    lambda text: read.read_divisor(text, of=6),
    lambda text: read.read_rank_start(text, world_size=6, nodes=3),
]


@given(
    st.sampled_from(READERS), st.text(alphabet='[]{}, 019-.e"k\n\u0660', max_size=20) | st.text(max_size=20)
)
def test_no_text_makes_a_reader_raise_anything_else(reader, text):
    with contextlib.suppress(read.WordError):
        reader(text)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=5))
def test_cases_written_by_python_are_read(pairs):
    # str() of a list has a blank after every comma.
    assert read.read_cases(str([list(pair) for pair in pairs])) == tuple(Case(*pair) for pair in pairs)
