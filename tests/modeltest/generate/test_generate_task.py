import json
from dataclasses import replace

import pytest

from engines.fake import FakeEngine
from modeltest.api import (
    Capability,
    Finish,
    GeneratedText,
    GenerationOptions,
    ModelTestError,
    RunSpec,
    Sampling,
    SpecError,
    TaskOptions,
)
from modeltest.generate.task import Generate


def spec_for(*texts, batch_size=2, engine_options=None, **options):
    generation = GenerationOptions(max_new_tokens=4, input_texts=texts, **options)
    return RunSpec(
        *("fake", "generate", "generate", "auto", "none"),
        options=TaskOptions(generation=generation),
        batch_sizes=((batch_size,),),
        engine_options=engine_options or {},
    )


def run(spec, directory):
    engine, told = FakeEngine(), []
    info = engine.load(spec, None)
    asked = []
    complete = engine.complete

    def complete_and_note(requests, *, batch_size):
        def noting():
            for request in requests:
                asked.append(request)
                yield request

        return complete(noting(), batch_size=batch_size)

    engine.complete = complete_and_note
    Generate().prepare(spec, engine).run(
        engine, info, directory=directory, tell=lambda *words: told.append(words)
    )
    return asked, told


def lines(directory):
    return [json.loads(line) for line in (directory / "generations.jsonl").read_text().splitlines()]


def test_every_prompt_has_one_line_in_the_order_of_the_prompts(tmp_path):
    asked, told = run(spec_for("one", "two", "three", engine_options={"answer": "yes"}), tmp_path)
    found = lines(tmp_path)
    assert [(line["index"], line["prompt"], line["text"]) for line in found] == [
        (0, "one", "yes"),
        (1, "two", "yes"),
        (2, "three", "yes"),
    ]
    assert told == [(0, 3, "prompts"), (2, 3, "prompts"), (3, 3, "prompts")]
    assert {request.max_new_tokens for request in asked} == {4}
    assert set(found[0]) == {
        *("index", "prompt", "text", "prompt_tokens", "output_tokens", "finish", "cut_prompt_tokens", "error")
    }


def test_a_limit_asks_the_first_prompts_only(tmp_path):
    run(replace(spec_for("one", "two", "three"), limit=2), tmp_path)
    assert [line["prompt"] for line in lines(tmp_path)] == ["one", "two"]
    assert Generate().summarize_files(tmp_path).expected == 2


def test_stop_texts_reach_the_engine(tmp_path):
    asked, _ = run(spec_for("one", stop=("\n", "END")), tmp_path)
    assert [request.stop for request in asked] == [("\n", "END")]


def test_a_run_that_was_killed_goes_on_with_what_is_not_answered(tmp_path):
    spec = spec_for("one", "two", "three")
    run(spec, tmp_path)
    path = tmp_path / "generations.jsonl"
    first, _, third = path.read_text().splitlines()
    path.write_text(f'{third}\n{first}\n{{"index": 1, "pro')
    asked, told = run(spec, tmp_path)
    assert [request.id for request in asked] == ["1"]
    assert [line["index"] for line in lines(tmp_path)] == [0, 1, 2]
    assert told[0] == (2, 3, "prompts")


def test_answers_to_other_prompts_are_not_gone_on_with(tmp_path):
    run(spec_for("one", "two"), tmp_path)
    with pytest.raises(SpecError, match="holds answers to other prompts: prompt 1 has changed"):
        run(spec_for("one", "2"), tmp_path)
    with pytest.raises(SpecError, match="prompt 1 has changed"):
        run(spec_for("one"), tmp_path)


def test_failed_and_lost_prompts_have_lines_too(tmp_path):
    run(spec_for("one", "two", "three", "four", engine_options={"fail_every": "2"}), tmp_path)
    assert [line["error"] is None for line in lines(tmp_path)] == [True, False, True, False]
    lost = tmp_path / "lost"
    lost.mkdir()
    run(spec_for("one", "two", engine_options={"lose_every": "2"}), lost)
    assert [line["error"] for line in lines(lost)] == [None, "the engine gave no answer"]


def test_the_summary_shortens_texts_and_knows_how_many_were_to_come(tmp_path):
    run(spec_for("x" * 1000, engine_options={"answer": "yes"}), tmp_path)
    summary = Generate().summarize_files(tmp_path)
    (text,) = summary.texts
    assert summary.expected == 1
    assert text == GeneratedText(
        0, "x" * 200, "yes", text.prompt_tokens, text.output_tokens, Finish.STOP, 0, None
    )


def test_a_directory_without_files_holds_no_texts(tmp_path):
    summary = Generate().summarize_files(tmp_path)
    assert (summary.expected, summary.texts) == (0, ())


def test_sampling_is_required_only_where_it_is_asked_for():
    task = Generate()
    assert task.requires(spec_for("a")) == {Capability.GENERATE}
    sampled = spec_for("a", sampling=Sampling(temperature=0.7))
    assert task.requires(sampled) == {Capability.GENERATE, Capability.SAMPLE}


def test_the_task_needs_its_command():
    with pytest.raises(SpecError, match="modeltest generate"):
        Generate().check(RunSpec("fake", "generate", "generate", "auto", "none"))
    with pytest.raises(SpecError, match="there is no prompt"):
        Generate().check(spec_for())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff", "byte 0 is not of UTF-8"),
        (b'{"index": 0}', "missing"),
        (b"[]", "expected an object"),
        (b'{"index": NaN}', "NaN is no number of JSON"),
    ],
)
def test_a_line_of_generations_that_is_damaged_is_named(tmp_path, line, reason):
    run(spec_for("one", "two"), tmp_path)
    path = tmp_path / "generations.jsonl"
    first, _ = path.read_bytes().splitlines()
    path.write_bytes(first + b"\n" + line + b"\n")
    with pytest.raises(ModelTestError, match=rf"generations\.jsonl, line 2: .*{reason}"):
        Generate().summarize_files(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"index": True}, {"index": -1}, {"prompt_tokens": 1.5}, {"text": 3}, {"more": 1}]
)
def test_a_line_of_generations_with_a_wrong_value_is_refused(tmp_path, changes):
    run(spec_for("one"), tmp_path)
    path = tmp_path / "generations.jsonl"
    path.write_text(json.dumps({**lines(tmp_path)[0], **changes}) + "\n")
    with pytest.raises(ModelTestError, match=r"generations\.jsonl, line 1: "):
        Generate().summarize_files(tmp_path)
