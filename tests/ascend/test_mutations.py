"""What an upgrade of MindIE could change: the answers stay right, or a precise error says what changed."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import calls
import pytest
from mindie_place import place_of
from processes import Raised

from engines.mindie.environment import STAND_IN_HOME
from modeltest.api import Request, TextPrompt, TokenPrompt

BATCHES = {
    "choices": [
        Request(f"c{i}", TextPrompt("", (), "The sea is salt. " * i + "Is it?"), choices=(" yes", " no"))
        for i in range(1, 4)
    ],
    "generations": [
        Request(f"g{i}", TextPrompt("", (), "The sea is salt. " * i + "Why?"), max_new_tokens=4)
        for i in range(1, 4)
    ],
    "timed": [
        Request(f"t{i}", TokenPrompt(tuple(range(40 + i, 50 + i))), max_new_tokens=5, ignore_eos=True)
        for i in range(3)
    ],
}


@dataclass(frozen=True)
class Mutation:
    """A change of one place of the stand-in, and what it may make of which requests."""

    name: str
    file: str
    old: str
    new: str
    requests: str
    error: str | None = None
    """`None`: the answers stay as they are."""


GENERATE, RUN_PA, MODEL = "examples/generate.py", "examples/run_pa.py", "atb_llm/runner/model_runner.py"
SAVE = "torch.save(logits.cpu(), path)"
MUTATIONS = (
    Mutation(
        "renamed_column",
        GENERATE,
        '"prefill_token_times":',
        '"prefill_times":',
        "timed",
        "no column 'prefill_token_times'; its columns are batch_size",
    ),
    Mutation("extra_columns", GENERATE, "columns = {", 'columns = {"device": "npu:0", "(ms)": 1.5,', "timed"),
    Mutation(
        "step_times_in_milliseconds",
        GENERATE,
        '",".join(map(str, done.prefill_s))',
        '",".join(str(second * 1000) for second in done.prefill_s)',
        "timed",
        "its step times, taken as seconds, give .* a unit or a meaning has changed",
    ),
    Mutation(
        "all_times_in_milliseconds",
        GENERATE,
        "time.perf_counter() - begin",
        "1000 * (time.perf_counter() - begin)",
        "timed",
        "s in steps of a call that took .*: a unit has changed",
    ),
    Mutation(
        "rows_appended",
        GENERATE,
        'path.open("w"',
        'path.open("a"',
        "timed",
        "it has 4 lines, a header and one row are expected",
    ),
    Mutation(
        "prefill_counted_among_the_decodes",
        GENERATE,
        '",".join(map(str, done.decode_s))',
        '",".join(map(str, [*done.decode_s, 0.0000001]))',
        "timed",
        "5 decode steps for 5 tokens, 4 are expected",
    ),
    Mutation(
        "one_prefill_each",
        GENERATE,
        "if tokens + length > self.max_prefill_tokens:",
        "if group:",
        "timed",
        "3 prefills for 3 requests, 1 prefills were expected",
    ),
    Mutation(
        "one_prefill_each_with_logits",
        GENERATE,
        "if tokens + length > self.max_prefill_tokens:",
        "if group:",
        "choices",
        r"the shape \(1, \d+\), 3 rows of logits are expected",
    ),
    Mutation(
        "padded_vocabulary",
        GENERATE,
        SAVE,
        "torch.save(torch.nn.functional.pad(logits, (0, 64), value=9.0), path)",
        "choices",
    ),
    Mutation(
        "padding_taken_for_tokens",
        MODEL,
        "return torch.stack(rows).to(self.dtype), kept",
        "return torch.nn.functional.pad(torch.stack(rows).to(self.dtype), (0, 64), value=999.0), kept",
        "choices",
        r"PARunner said token \d+ with a vocabulary of \d+: it takes columns that fill the vocabulary up",
    ),
    Mutation("float32_logits", GENERATE, SAVE, "torch.save(logits.float(), path)", "choices"),
    Mutation(
        "coarser_logits",
        GENERATE,
        SAVE,
        "torch.save(logits.bfloat16(), path)",
        "choices",
        "holds torch.bfloat16, coarser than the torch.float16 of the model",
    ),
    Mutation(
        "half_of_the_vocabulary",
        GENERATE,
        SAVE,
        "torch.save(logits[:, : logits.shape[1] // 2].clone(), path)",
        "choices",
        "columns for a vocabulary of",
    ),
    Mutation(
        "rows_in_another_order",
        GENERATE,
        SAVE,
        "torch.save(logits.flip(0), path)",
        "choices",
        r"row \d of logits_0.pth is (not )?that of request \d",
    ),
    Mutation(
        "logits_of_all_positions",
        GENERATE,
        SAVE,
        "torch.save(logits[:, None].repeat(1, 2, 1), path)",
        "choices",
        r"the shape \(3, 2, \d+\), 3 rows of logits are expected",
    ),
    Mutation(
        "logits_counted_from_one",
        GENERATE,
        "logits_{produced}.pth",
        "logits_{produced + 1}.pth",
        "choices",
        r"MindIE did not write .*logits_0.pth \(No such file or directory\); is it another version",
    ),
    Mutation(
        "ids_under_another_name",
        GENERATE,
        "output_ids_{request.number}.txt",
        "tokens_{request.number}.txt",
        "generations",
        "MindIE did not write .*output_ids_0.txt",
    ),
    Mutation(
        "ids_with_commas",
        GENERATE,
        '" ".join(map(str, request.output_ids))',
        '", ".join(map(str, request.output_ids))',
        "generations",
        "holds no token ids but",
    ),
    Mutation(
        "inputs_padded",
        GENERATE,
        "[*request.input_ids, *filling]",
        "[0, *request.input_ids, *filling]",
        "generations",
        "is not the prompt of request 0",
    ),
    Mutation(
        "plain_counts",
        RUN_PA,
        "total += len(request.output_ids)",
        "total = len(request.output_ids)",
        "generations",
        "PARunner.infer gave the token counts",
    ),
    Mutation(
        "counts_without_numbers",
        RUN_PA,
        "counts.append((request.number, total))",
        "counts.append(total)",
        "generations",
        "pairs of a request's number and the tokens up to it were expected",
    ),
    Mutation(
        "a_fourth_value",
        RUN_PA,
        "return texts, counts, seconds",
        "return texts, counts, seconds, None",
        "generations",
        "PARunner.infer gave tuple, not texts, token counts and seconds",
    ),
    Mutation(
        "texts_ended_early",
        GENERATE,
        "is_full = len(request.output_ids) >= postprocessor.max_new_tokens",
        "is_full = len(request.output_ids) >= postprocessor.max_new_tokens - 1",
        "generations",
        "ended request 'g1' after 3 of 4 tokens with token .*, which ends no text",
    ),
    Mutation(
        "warm_up_fails",
        RUN_PA,
        "rows = self.max_prefill_batch_size\n",
        'raise RuntimeError("ATB setup failed: error code 1")\n',
        "choices",
        "PARunner.warm_up for 3 rows of 64.64 tokens: RuntimeError: ATB setup failed: error code 1",
    ),
    Mutation(
        "a_renamed_attribute",
        MODEL,
        "self.postprocessor = self._postprocessor()",
        "self.post_processor = self._postprocessor()",
        "choices",
        "no attribute 'postprocessor'",
    ),
    Mutation(
        "a_new_required_argument",
        RUN_PA,
        'self.rank = kwargs.get("rank", "0")',
        'self.rank, self.quota = kwargs.get("rank", "0"), kwargs["memory_quota"]',
        "choices",
        "making PARunner for .*: KeyError: 'memory_quota'",
    ),
)


@pytest.fixture(scope="module")
def expected(demo_model, tmp_path_factory):
    """Return what the stand-in as it is answers, by kind of requests."""
    weights = str(demo_model("llama", "float16"))
    place = place_of(weights, tmp_path_factory.mktemp("expected"), {"stand_in": "yes"})
    done, _, _ = place.with_record("times", "ids", "logits").call(calls.complete, list(BATCHES.values()), 3)
    return dict(zip(BATCHES, done, strict=True))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_change_of_mindie_gives_right_answers_or_says_what_changed(
    mutation, stand_in, expected, tmp_path, monkeypatch
):
    monkeypatch.setenv("ATB_SPEED_HOME_PATH", str(_mutated(mutation, tmp_path / "home")))
    place = stand_in.with_options(record="times+ids" if mutation.requests == "timed" else "ids+logits")
    batches = [BATCHES[mutation.requests]]
    if mutation.error is None:
        (done,), _, _ = place.call(calls.complete, batches, 3)
        assert {key: _answer(one) for key, one in done.items()} == {
            key: _answer(one) for key, one in expected[mutation.requests].items()
        }
        return
    with pytest.raises(Raised, match=mutation.error) as raised:
        place.call(calls.complete, batches, 3)
    assert raised.value.name == "EngineError"


def _answer(completion):
    return (
        completion.error,
        completion.text,
        completion.output_tokens,
        completion.choice_logprobs,
        len(completion.token_times_ns),
    )


def _mutated(mutation: Mutation, home: Path) -> Path:
    shutil.copytree(STAND_IN_HOME, home, ignore=shutil.ignore_patterns("__pycache__"))
    path = home / mutation.file
    source = path.read_text(encoding="utf-8")
    assert mutation.old in source
    path.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
    return home
