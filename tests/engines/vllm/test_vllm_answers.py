"""vLLM's answers against a plain forward pass of transformers in float32, on a tiny model."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from modeltest.api import GenerationOptions, Request, Sampling, TaskOptions, TextPrompt, TokenPrompt
from modeltest.testing.engine_contract import complete

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

SHOTS = tuple(f"Question {i}: is {i} more than {i + 1}?\nAnswer: no\n\n" for i in range(12))
QUESTIONS = [TextPrompt("", SHOTS, f"Question: is {i} odd?\nAnswer:") for i in range(6)]


@pytest.fixture(scope="module")
def loaded(llama, start_vllm):
    found = start_vllm(llama)
    yield found
    found.engine.close()


@pytest.fixture(scope="module")
def plain(llama):
    return AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32).eval()


def logprobs_of(plain, ids):
    """Return the log-probabilities of the next token at each position, `[positions, vocabulary]`."""
    with torch.inference_mode():
        return plain(torch.tensor([list(ids)])).logits[0].log_softmax(-1)


@pytest.mark.parametrize("choices", [(" yes", " no"), (" yes it is", " no it is not at all", " no")])
def test_choices_have_the_log_probabilities_of_a_plain_pass(loaded, plain, choices):
    requests = [Request(str(i), prompt, choices=choices) for i, prompt in enumerate(QUESTIONS)]
    before = loaded.engine.usage().reused_tokens
    for one in complete(loaded.engine, requests).values():
        assert one.error is None
        for ids, found, is_greedy in zip(
            one.choice_tokens, one.choice_logprobs, one.choice_is_greedy, strict=True
        ):
            table = logprobs_of(plain, one.prompt_tokens + ids)[len(one.prompt_tokens) - 1 : -1]
            assert found == pytest.approx(float(table[range(len(ids)), ids].sum()), abs=1e-3)
            assert is_greedy == (table.argmax(-1).tolist() == list(ids))
    assert loaded.engine.usage().reused_tokens > before, "shots are shared"


def test_all_tokens_can_be_choices(loaded, plain):
    every = tuple((token,) for token in range(loaded.info.vocabulary_size))
    (one,) = complete(loaded.engine, [Request("all", TokenPrompt((5, 6, 7)), choices=every)]).values()
    right = logprobs_of(plain, (5, 6, 7))[-1]
    assert torch.tensor(one.choice_logprobs) == pytest.approx(right, abs=1e-3)
    assert one.choice_is_greedy.index(True) == int(right.argmax())


def test_a_long_text_is_scored_as_one_choice(loaded, plain):
    ids = tuple(token % 90 + 10 for token in range(0, 700, 7))
    requests = [Request(str(i), TokenPrompt(ids[:1]), choices=(ids[1:],)) for i in range(2)]
    table = logprobs_of(plain, ids)[:-1]
    right = float(table[range(len(ids) - 1), ids[1:]].sum())
    for one in complete(loaded.engine, requests, batch_size=1).values():
        assert one.choice_logprobs[0] == pytest.approx(right, abs=1e-2)


def test_each_token_of_a_text_has_the_log_probability_of_a_plain_pass(loaded, plain):
    texts = [tuple((7 * at + i) % 90 + 10 for at in range(80)) for i in range(5)]
    texts.append(texts[0])  # what was read before is in the cache
    asked = [
        Request(str(i), TokenPrompt(ids[:16]), choices=(ids[16:],), each_token=True)
        for i, ids in enumerate(texts)
    ]
    for batch_size in (1, 8):
        found = complete(loaded.engine, asked, batch_size)
        for i, ids in enumerate(texts):
            one = found[str(i)]
            right = logprobs_of(plain, ids)[15:-1][range(64), ids[16:]]
            assert torch.tensor(one.token_logprobs[0]) == pytest.approx(right, abs=1e-3)
            assert one.choice_logprobs[0] == pytest.approx(sum(one.token_logprobs[0]), rel=1e-6)


def test_greedy_tokens_are_those_of_a_plain_pass(loaded, plain):
    requests = [Request(str(i), prompt, max_new_tokens=12) for i, prompt in enumerate(QUESTIONS)]
    for one in complete(loaded.engine, requests).values():
        ids = one.prompt_tokens + one.output_tokens
        said = logprobs_of(plain, ids)[len(one.prompt_tokens) - 1 : -1].argmax(-1).tolist()
        assert list(one.output_tokens) == said


def test_a_prompt_as_long_as_the_context_is_answered(loaded, plain):
    ids = tuple(token % 90 + 10 for token in range(loaded.info.context_tokens))
    (one,) = complete(loaded.engine, [Request("whole", TokenPrompt(ids), choices=((11,), (12,)))]).values()
    right = logprobs_of(plain, ids)[-1][[11, 12]].tolist()
    assert one.choice_logprobs == pytest.approx(right, abs=1e-3)
    assert one.cut_prompt_tokens == 0


def test_a_stop_text_ends_an_answer_and_is_cut(loaded):
    (free,) = complete(loaded.engine, [Request("0", QUESTIONS[0], max_new_tokens=12)]).values()
    stop = free.text[3:5]
    (cut,) = complete(loaded.engine, [Request("1", QUESTIONS[0], max_new_tokens=12, stop=(stop,))]).values()
    assert cut.text == free.text.split(stop)[0]
    assert cut.output_tokens == free.output_tokens[: len(cut.output_tokens)]
    assert len(cut.output_tokens) < 12


def test_drawn_tokens_come_again_when_the_run_begins_again(loaded):
    spec, info = loaded.asked
    drawing = TaskOptions(generation=GenerationOptions(8, sampling=Sampling(temperature=1.5)))
    asked = [Request(str(i), QUESTIONS[0], max_new_tokens=8) for i in range(4)]

    def drawn():
        loaded.engine.begin(replace(spec, options=drawing), info)
        return [one.output_tokens for one in complete(loaded.engine, asked).values()]

    first, second = drawn(), drawn()
    loaded.engine.begin(spec, info)
    assert first == second
    assert len(set(first)) > 1


def test_what_is_reused_is_counted_of_rows_that_end_early_too(loaded):
    requests = [
        Request(str(i), prompt, max_new_tokens=9, first_character_only=True)
        for i, prompt in enumerate(QUESTIONS)
    ]
    complete(loaded.engine, requests)
    before = loaded.engine.usage()
    again = complete(loaded.engine, requests).values()
    after = loaded.engine.usage()
    fed = sum(len(one.prompt_tokens) + len(one.output_tokens) - 1 for one in again)
    assert (after.reused_tokens - before.reused_tokens) > 0.8 * fed
    assert after.reused_tokens - before.reused_tokens + after.computed_tokens - before.computed_tokens == fed
