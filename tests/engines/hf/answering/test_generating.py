"""Texts of rows in flight against the plainest way: `model(ids)` of the whole row for every token."""

import random
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from windowed_model import windowed_model

from engines.common.encoding import Encoded
from engines.hf.answering import generating
from engines.hf.answering.generating import generate_packed
from engines.hf.packed.packed import MIN_PACK_TOKENS, PackedRows
from engines.hf.packed.tree_forward import TreeForward
from modeltest.api import Finish, Request, TokenPrompt

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, demo_model):
    directory = demo_model(request.param)
    remote = request.param == "internlm2"
    model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=remote).eval()
    return model, AutoTokenizer.from_pretrained(directory, trust_remote_code=remote)


@pytest.fixture(scope="module")
def llama(demo_model):
    directory = demo_model("llama")
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    return model, AutoTokenizer.from_pretrained(directory)


def _prompts(vocabulary: int = 1400) -> list[tuple[int, ...]]:
    """Rows below a long prefix, below a short one below that, below another one, and alone."""
    draw = random.Random(3)

    def some(count):
        return tuple(draw.randrange(10, vocabulary) for _ in range(count))

    long, other = some(90), some(70)
    stems = [long, long + some(20), other, (), long[:40]]
    return [draw.choice(stems) + some(draw.randint(2, 40)) for _ in range(17)]


def _plain(model, ids: tuple[int, ...], count: int) -> list[int]:
    row = list(ids)
    with torch.inference_mode():
        for _ in range(count):
            row.append(int(model(torch.tensor([row])).logits[0, -1].argmax()))
    return row[len(ids) :]


def _encoded(prompts, new_tokens, stop=()):
    requests = [
        Request(str(index), TokenPrompt(ids), max_new_tokens=new_tokens, stop=stop)
        for index, ids in enumerate(prompts)
    ]
    return [Encoded(request, request.prompt.ids) for request in requests]


def _loaded(model, tokenizer, eos=()):
    return SimpleNamespace(model=model, tokenizer=tokenizer, eos_token_ids=frozenset(eos))


def _generate(family, prompts, *, new_tokens, batch_size, eos=(), max_tokens=10_000, forward=None):
    model, tokenizer = family
    feeder = PackedRows(forward or TreeForward(model, "cpu"), "cpu", max_tokens)
    loaded = _loaded(model, tokenizer, eos)
    batches = generate_packed(_encoded(prompts, new_tokens), feeder, loaded, batch_size)
    done = [one for batch in batches for one in batch]
    assert sorted(int(one.request_id) for one in done) == list(range(len(prompts)))
    return {int(one.request_id): one for one in done}, feeder


def _up_to(tokens, eos):
    end = next((place + 1 for place, token in enumerate(tokens) if token in eos), None)
    return tokens[:end], Finish.LENGTH if end is None else Finish.STOP


@pytest.mark.parametrize(("batch_size", "max_tokens"), [(1, 10_000), (3, 10_000), (8, 60), (40, 10_000)])
def test_texts_are_those_of_one_row_at_a_time(family, batch_size, max_tokens):
    model, _ = family
    prompts = _prompts()
    plain = [_plain(model, ids, 12) for ids in prompts]
    # Tokens that end some rows early, so that rows begin and end at different times.
    eos = {tokens[3] for tokens in plain[::3]} | {plain[1][0]}
    done, _ = _generate(family, prompts, new_tokens=12, batch_size=batch_size, max_tokens=max_tokens, eos=eos)
    for row, tokens in enumerate(plain):
        expected, finish = _up_to(tokens, eos)
        assert list(done[row].output_tokens) == expected
        assert done[row].finish is finish


def test_a_window_of_attention_is_kept_to_by_rows_in_flight(llama):
    model = windowed_model()
    prompts = _prompts(190)
    done, _ = _generate((model, llama[1]), prompts, new_tokens=40, batch_size=5)
    for row, ids in enumerate(prompts):
        assert list(done[row].output_tokens) == _plain(model, ids, 40)


def test_a_row_that_ends_makes_room_for_the_next_at_once(llama, monkeypatch):
    model, _ = llama
    monkeypatch.setattr(generating, "PASS_TOKENS", 1)  # no guesses: a pass is a token
    prompts = [(60, 61 + row) for row in range(12)]
    plain = [_plain(model, ids, 10) for ids in prompts]
    eos = {plain[0][0], plain[5][2]}
    lengths = [len(_up_to(tokens, eos)[0]) for tokens in plain]
    assert min(lengths) < max(lengths)
    _, feeder = _generate(llama, prompts, new_tokens=10, batch_size=3, eos=eos)
    # Three places, each filled again in the pass after its row has ended: the longest of them.
    places = [0, 0, 0]
    for length in lengths:
        places[places.index(min(places))] += length
    assert feeder.forward.forward_calls == max(places)


def test_a_shared_prefix_is_computed_once_and_every_other_token_too(llama, monkeypatch):
    monkeypatch.setattr(generating, "PASS_TOKENS", 1)
    prefix = tuple(range(100, 200))
    prompts = [(*prefix, 20 + row, 30) for row in range(10)]
    done, feeder = _generate(llama, prompts, new_tokens=4, batch_size=4)
    new = sum(len(one.output_tokens) - 1 for one in done.values())
    assert feeder.computed_tokens == 100 + 10 * 2 + new
    assert feeder.reused_tokens == 9 * 100


def test_a_row_that_repeats_itself_takes_fewer_passes_to_the_same_text(llama, monkeypatch):
    model, _ = llama
    prompts = [(5, 6, 7) * 8]
    tokens = _plain(model, prompts[0], 60)
    assert len(set(tokens)) < 30  # it does
    done, guessing = _generate(llama, prompts, new_tokens=60, batch_size=4)
    assert list(done[0].output_tokens) == tokens
    monkeypatch.setattr(generating, "MOST_GUESSES", 0)
    _, plain = _generate(llama, prompts, new_tokens=60, batch_size=4)
    assert plain.forward.forward_calls == 60
    assert guessing.forward.forward_calls < 60


def test_a_row_ends_where_it_ends_though_more_was_guessed(llama):
    model, _ = llama
    prompts = [(5, 6, 7) * 8]
    plain = _plain(model, prompts[0], 60)
    for end in range(20, 40):
        done, _ = _generate(llama, prompts, new_tokens=end, batch_size=1)
        assert list(done[0].output_tokens) == plain[:end]
        assert done[0].finish is Finish.LENGTH


def test_one_new_token_needs_nothing_held(llama):
    prompts = [(60, 61 + row) for row in range(5)]
    done, feeder = _generate(llama, prompts, new_tokens=1, batch_size=2)
    assert [list(done[row].output_tokens) for row in range(5)] == [
        _plain(llama[0], ids, 1) for ids in prompts
    ]
    assert feeder.forward._held == {}


def test_nothing_is_held_at_the_end_and_the_model_has_its_attention_back(llama):
    before = llama[0].config._attn_implementation
    _, feeder = _generate(llama, _prompts(), new_tokens=3, batch_size=4)
    assert feeder.forward._held == {}
    assert llama[0].config._attn_implementation == before


class Scarce(TreeForward):
    """A tree forward on a device with room for `room` tokens in flight and in a pass."""

    room = 10_000

    def feed_beside(self, packs, rows, flying, *, keep_rows=True):
        held = sum(row.next_position for row in flying._flying)
        if held + sum(pack.tokens for pack in packs) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().feed_beside(packs, rows, flying, keep_rows=keep_rows)


def test_rows_that_run_out_of_memory_together_are_asked_again_in_halves(llama):
    model, _ = llama
    prompts = _prompts()
    forward = Scarce(model, "cpu")
    forward.room = 300
    done, feeder = _generate(llama, prompts, new_tokens=5, batch_size=8, forward=forward)
    assert feeder.split_batches > 0
    for row, ids in enumerate(prompts):
        assert list(done[row].output_tokens) == _plain(model, ids, 5)


def test_a_row_that_does_not_fit_even_alone_is_the_only_one_that_fails(llama):
    prompts = [tuple(range(10, 10 + MIN_PACK_TOKENS + 90)), (60, 61), (62, 63)]
    forward = Scarce(llama[0], "cpu")
    forward.room = MIN_PACK_TOKENS + 50
    done, _ = _generate(llama, prompts, new_tokens=5, batch_size=3, forward=forward, max_tokens=1000)
    assert done[0].error.startswith("out of memory with")
    for row in (1, 2):
        assert list(done[row].output_tokens) == _plain(llama[0], prompts[row], 5)


def test_a_row_whose_logits_are_not_numbers_leaves_the_others_alone(llama, monkeypatch):
    model, _ = llama
    # Token 77 has an embedding of NaN: whatever looks at it becomes NaN.
    weight = model.get_input_embeddings().weight
    before = weight[77].clone()
    prompts = [(77, *range(80, 120)), (60, 61), (62, 63), (64, 65)]
    plain = [_plain(model, ids, 6) for ids in prompts[1:]]
    assert all(77 not in tokens for tokens in plain)
    with torch.no_grad():
        weight[77] = float("nan")
    try:
        done, _ = _generate(llama, prompts, new_tokens=6, batch_size=2)
    finally:
        with torch.no_grad():
            weight[77] = before
    assert done[0].error == "the model's logits are not numbers (NaN)"
    assert [list(done[row].output_tokens) for row in (1, 2, 3)] == plain
