"""Wrong files and words at every surface: each ends as documented, with one message, in time."""

import pytest
from fuzz_places import made_places
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated
from run_fuzz import wrong_end
from surface import Surface, one_input
from surfaces import surfaces

from modeltest.api import SpecError

HERE = (
    *("rank_table", "words", "options", "prompt_input", "rank_message"),
    *("rows_boolq", "card_boolq", "rows_mmlu", "card_mmlu", "rows_ceval", "card_ceval", "subjects"),
    *("customize", "lora", "prompts"),
    *("run_json", "compared", "journal", "run_json_performance", "compared_performance"),
    *("journal_performance", "run_json_generate", "compared_generate", "generations"),
    *("pack_zip", "pack_manifest", "pack_prefixes", "pack_questions", "pack_texts", "pack_answers"),
    *("lm_eval_results", "lm_eval_samples", "calibration", "suite_json", "suite_yaml"),
    *("config", "safetensors_header", "safetensors_bytes", "safetensors_index"),
    *("quant_description", "lora_folders", "torch_index"),
)
"""Surfaces that are entered in this process, as the command does it."""

IN_CHILDREN = (
    *("tokenizer_json", "tokenizer_config", "special_tokens_map", "added_tokens", "vocab_json", "merges_txt"),
    *("chat_template", "chat_template_text", "config_loaded", "generation_config"),
    *("safetensors_loaded", "tokenizer_counted", "torch_zip", "torch_legacy"),
)
"""Surfaces that are entered in processes of their own."""

FEW, SOME, MANY = 3, 30, 20_000


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    pytest.importorskip("torch")
    return surfaces(made_places(tmp_path_factory.mktemp("fuzz")))


def enter_some(surface, count):
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def enter(seed):
        assert wrong_end(surface, one_input(surface, seed)) is None

    enter()


@pytest.mark.slow
def test_every_surface_is_tested(places):
    assert sorted(places) == sorted((*HERE, *IN_CHILDREN))


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_a_wrong_input_ends_as_documented(places, name):
    enter_some(places[name], SOME)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_CHILDREN)
def test_so_does_one_for_a_library_that_may_crash_over_it(places, name):
    enter_some(places[name], FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in (*HERE, *IN_CHILDREN) if name != "safetensors_bytes"])
def test_what_is_handed_over_unchanged_is_taken(places, name):
    places[name].enter(places[name].seeds[0])


@pytest.mark.long
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("name", [*HERE, *IN_CHILDREN])
def test_so_do_many(places, name):
    for seed in range(MANY):
        assert wrong_end(places[name], one_input(places[name], seed)) is None, seed


def raises(problem):
    def enter(_):
        raise problem

    return Surface("made_up", [b"{}"], enter)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (ValueError("x"), "ValueError in test_fuzz.py"),
        (type("PanicException", (BaseException,), {})("x"), "PanicException in test_fuzz.py"),
        (SpecError(" "), "nothing said"),
    ],
)
def test_whatever_else_comes_is_a_finding(problem, kind):
    assert kind in wrong_end(raises(problem), b"{}")


class Unprintable(SpecError):
    def __str__(self):
        return self.args[0]


@pytest.mark.parametrize(
    ("said", "kind"), [("two\nlines", r"a line with '\n'"), ("x" * 7000, "many characters")]
)
def test_a_message_that_is_no_line_is_a_finding(said, kind):
    assert kind in wrong_end(raises(Unprintable(said)), b"{}")


def test_an_error_with_one_line_is_none():
    assert wrong_end(raises(SpecError("a wrong word")), b"{}") is None


def test_an_endless_loop_is_a_finding(monkeypatch):
    monkeypatch.setattr("run_fuzz.SLOW_S", 0.05)

    def enter(_):
        while True:
            pass

    assert "Endless" in wrong_end(Surface("made_up", [b"{}"], enter), b"{}")


def test_inputs_are_wrong_in_many_ways_and_the_same_for_the_same_seed():
    data = b'{"a": 1, "b": [1.5, "x", {"c": null}]}\n'
    surface = Surface("made_up", [data], lambda _: None)
    inputs = [one_input(surface, seed) for seed in range(500)]
    assert inputs == [one_input(surface, seed) for seed in range(500)]
    assert len(set(inputs)) > 300
    for part in (
        b"NaN",
        b"1e999",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"\x00",
        b"[" * 500,
        b'"a": 1, "a"',
        b"\r\n",
        b"-1",
    ):
        assert any(part in each for each in inputs), part


def test_words_and_lines_of_text_are_changed_too():
    from random import Random

    data = b"name: x\nmodels: [none]\ntasks:\n  - accuracy: {task: boolq}\n"
    inputs = [mutated(data, Random(seed), is_json=False) for seed in range(300)]
    for part in (b"nan", b"tasks:\ntasks:", b"1_000", b"\t", b"9" * 400):
        assert any(part in each for each in inputs), part
