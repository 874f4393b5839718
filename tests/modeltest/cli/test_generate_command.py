"""`modeltest generate`: words in; a table, a file and an exit status out."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from engines.hf.engine import HFEngine
from modeltest.api import Capability, GenerationOptions, PrerequisiteError, RunSpec, Sampling, TaskOptions
from modeltest.plain.contracts import from_plain
from modeltest.run.planning.plan import plan


def modeltest(place, *words):
    output = ("--output", str(place / "out"))
    command = [sys.executable, "-m", "modeltest", "generate", *map(str, words), *output]
    return subprocess.run(command, cwd=place, check=False, capture_output=True, text=True)


def spec_of(place, *words):
    done = modeltest(place, *words, "--dry-run")
    assert done.returncode == 0, done.stderr
    return from_plain(RunSpec, json.loads(done.stdout))


def generations(place):
    (directory,) = (place / "out").iterdir()
    return [json.loads(line) for line in (directory / "generations.jsonl").read_text().splitlines()]


def test_prompts_of_a_file_become_a_table_and_a_file(tmp_path):
    (tmp_path / "prompts.jsonl").write_text('"one"\n{"prompt": "two"}\n')
    done = modeltest(
        tmp_path,
        *("--engine", "fake", "--model", "none", "--input-file", "prompts.jsonl", "--max-batch-size", 2),
        *("--engine-option", "answer=yes [really]"),
    )
    assert done.returncode == 0, done.stderr
    assert "yes [really]" in done.stdout
    assert "verdict: VALID" in done.stdout
    assert [(line["prompt"], line["text"]) for line in generations(tmp_path)] == [
        ("one", "yes [really]"),
        ("two", "yes [really]"),
    ]


def test_a_prompt_of_two_hundred_thousand_tokens_is_accepted_from_a_file(tmp_path):
    (tmp_path / "long.jsonl").write_text(json.dumps(list(range(1, 1001)) * 200) + "\n")
    model = ("--engine", "fake", "--model", "none")
    words = (*model, "--input-file", "long.jsonl", "--max-input-length", 200_000)
    assert spec_of(tmp_path, *words, "--max-output-length", 16).max_position_embeddings == 200_016
    done = modeltest(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert generations(tmp_path)[0]["prompt_tokens"] == 200_000


def test_a_failed_prompt_makes_the_run_invalid(tmp_path):
    done = modeltest(
        tmp_path,
        *("--engine", "fake", "--model", "none", "--input-text", "a", "--input-text", "b"),
        *("--engine-option", "fail_every=2"),
    )
    assert done.returncode == 1
    assert "verdict: INVALID" in done.stdout
    assert "prompt 1 failed" in done.stdout


def test_options_have_the_names_and_meaning_of_run_pa(tmp_path):
    words = ("--engine", "fake", "--model", "none", "--input-text", "a", "--batch-size", 4, "--is-chat-model")
    spec = spec_of(
        tmp_path,
        *words,
        *("--do-sample", "--top-k", 5, "--top-p", 0.9, "--temperature", 0.7, "--min-tokens-to-keep", 2),
        *("--random-seed", 11, "--stop", "END", "--stop", "\n"),
    )
    options = spec.options.generation
    assert options.sampling == Sampling(temperature=0.7, top_k=5, top_p=0.9, min_tokens_to_keep=2)
    assert (options.stop, options.repeat, options.max_new_tokens) == (("END", "\n"), 4, 20)
    assert (spec.chat, spec.seed, spec.batch_sizes) == (True, 11, ((4,),))
    assert spec_of(tmp_path, *words, "--max-batch-size", 2).batch_sizes == ((2,),)


def test_pa_means_the_paged_engine_in_the_dtype_of_the_checkpoint(tmp_path):
    for dtype, word in (("float16", "pa_fp16"), ("bfloat16", "pa_bf16")):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": dtype}))
        assert spec_of(tmp_path, "--engine", "pa", "--model", tmp_path, "--input-text", "a").engine == word


def test_sampling_without_the_word_for_it_is_refused(tmp_path):
    done = modeltest(
        tmp_path, "--engine", "fake", "--model", "none", "--input-text", "a", "--temperature", 0.5
    )
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "error: --temperature needs --do-sample: without it the likeliest token is taken",
    )


def test_an_engine_that_cannot_sample_says_so_before_it_loads(tmp_path, demo_model, monkeypatch):
    monkeypatch.setattr(HFEngine, "capabilities", frozenset({Capability.GENERATE}))
    sampled = GenerationOptions(max_new_tokens=4, input_texts=("a",), sampling=Sampling(temperature=0.5))
    spec = RunSpec(
        *("hf_fp32", "generate", "generate", "auto", str(demo_model("llama"))),
        dtype="float32",
        options=TaskOptions(generation=sampled),
    )
    with pytest.raises(PrerequisiteError, match="engine 'hf' takes the likeliest token and cannot sample"):
        plan(spec)
    plan(replace(spec, options=TaskOptions(generation=replace(sampled, sampling=None))))


@pytest.mark.long
@pytest.mark.slow
def test_sampled_texts_are_those_of_the_seed(tmp_path, demo_model):
    words = ("--engine", "hf_fp32", "--model", demo_model("llama"), "--input-text", "The", "--batch-size", 3)
    texts = {}
    for place, seed, more in (
        ("a", 1, ()),
        ("b", 1, ()),
        ("c", 2, ()),
        ("d", 1, ("--top-k", 1)),
        ("e", 1, None),
    ):
        (tmp_path / place).mkdir()
        sampling = () if more is None else ("--do-sample", "--random-seed", seed, *more)
        done = modeltest(tmp_path / place, *words, *sampling, "--max-output-length", 12)
        assert done.returncode == 0, done.stderr
        texts[place] = [line["output_tokens"] for line in generations(tmp_path / place)]
    assert texts["a"] == texts["b"] != texts["c"]
    assert len(set(map(tuple, texts["a"]))) == 3, "rows of one prompt are drawn apart"
    assert texts["d"] == texts["e"], "of the likeliest token alone, greedy decoding is left"


@pytest.mark.slow
def test_a_conversation_ends_with_the_turn(tmp_path, demo_model):
    """The profile of internlm names the token that ends a turn; it counts in conversations alone."""
    model = demo_model("internlm2")
    turns = [{"role": "user", "content": "hello"}]
    (tmp_path / "dialogues.jsonl").write_text(json.dumps(turns) + "\n")
    words = ("--engine", "hf_fp32", "--model", model, "--trust-remote-code", "--is-chat-model")
    done = modeltest(tmp_path, *words, "--input-file", "dialogues.jsonl", "--max-output-length", 4)
    assert done.returncode == 0, done.stderr
    (line,) = generations(tmp_path)
    assert line["prompt"] == turns
    assert 0 < len(line["output_tokens"]) <= 4
