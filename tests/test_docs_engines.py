"""The page of engines says what the words mean and what each engine claims."""

import pytest
from doc_blocks import ROOT, names_in, section, table_rows

from modeltest import registry
from modeltest.api import Capability
from modeltest.grammar.modes import ENGINE_WORDS

PAGE = ROOT / "docs" / "engines.md"
ROWS = {
    "choices": Capability.CHOICE_LOGPROBS,
    "log-probability of each token of a text": Capability.TOKEN_LOGPROBS,
    "time of each token": Capability.TOKEN_TIMES,
    "`ignore_eos`": Capability.IGNORE_EOS,
    "prefill words of `performance`": Capability.PREFILL_LIMITS,
    "sampling": Capability.SAMPLE,
    "LoRA by request": Capability.LORA,
}


def test_every_word_is_there_with_the_engines_that_may_serve_it_in_their_order() -> None:
    rows = table_rows(section(PAGE, "Which word means which"))
    told = {word: tuple(names_in(row[1])) for row in rows for word in names_in(row[0])}
    assert told == {each.word: each.engines for each in ENGINE_WORDS if each.word != "fake"}


def given() -> dict[str, dict[str, str]]:
    """Return the cells of the second table, by engine and by row."""
    text = section(PAGE, "What each gives")
    header = next(line for line in text.splitlines() if line.startswith("|"))
    rows = table_rows(text)
    return {name: {row[0]: row[at] for row in rows} for at, name in enumerate(names_in(header), 1)}


def test_the_table_has_every_engine_of_the_words() -> None:
    assert set(given()) == {name for each in ENGINE_WORDS for name in each.engines} - {"fake"}


@pytest.mark.parametrize("name", sorted(given()))
def test_an_engine_gives_what_it_claims(name: str) -> None:
    claimed = registry.load_engine(name).capabilities
    cells = given()[name]
    for row, capability in ROWS.items():
        assert (cells[row] != "no") == (capability in claimed), f"{row}: {cells[row]}"


def test_every_row_of_a_table_tells_of_engines_there_are() -> None:
    for title in ("How a choice is computed", "Which clock"):
        told = {name for row in table_rows(section(PAGE, title)) for name in names_in(row[0])}
        assert told <= set(given())
        assert {"hf", "hf_paged", "vllm", "openai", "mindie_pa"} == told
