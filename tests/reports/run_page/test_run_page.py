import json
import re
import zlib
from base64 import b64decode
from dataclasses import replace

import pytest
from made_runs import accuracy_summary
from timed_runs import MODEL, max_batch_run, out_of_memory_run, performance_run, run_result

from modeltest.api import (
    Case,
    ChatPrompt,
    Completion,
    DatasetInfo,
    Finding,
    FindingCode,
    Finish,
    GeneratedText,
    GenerationSummary,
    HarnessMetric,
    HarnessSummary,
    Interruption,
    MissingExtra,
    Question,
    Report,
    Request,
    RunSpec,
    Sample,
    Score,
    TextPrompt,
    Turn,
    Verdict,
)
from modeltest.findings import sentence, sentences
from reports.page.texts import load_texts
from reports.run_page.accuracy import _answers, _in_order, accuracy_content
from reports.run_page.questions import columns
from reports.run_page.report import RunPage, content_of, run_page

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

HOSTILE = "</script><script>alert(1)</script> \u2028 <img src=x onerror=alert(1)>"
SPEC = RunSpec("hf_fp32", "full_MMLU", "mmlu", "gpt2", "W", split="full", batch_sizes=((8,),))
SUBJECTS = {name: {"category": name[0].upper()} for name in ("astronomy", "botany")}


def sample(
    row: str, *, predicted: str | None = "A", error: str | None = None, margin: float | None = 0.5
) -> Sample:
    """A question whose right answer is A."""
    subject = row.partition("/")[0]
    correct = None if error else predicted == "A"
    completion = Completion(row, text=predicted, choice_logprobs=() if error else (-0.5, -1.0))
    score = Score(
        *(row, subject, SUBJECTS[subject]["category"], "A", predicted, correct),
        margin=None if error else margin,
        no_answer=predicted is None and not error,
        error=error,
    )
    return Sample(score, completion, "digest of " + row)


def question(row: str, asked: str, *, digest: str = "") -> Question:
    prompt = TextPrompt("Header.", ("Shot one. ", "Shot two. "), asked)
    return Question(Request(row, prompt, choices=(" A", " B")), digest or "digest of " + row)


SAMPLES = [
    sample("botany/10"),
    sample("botany/2", predicted="B", margin=0.00001),
    sample("astronomy/0", error="out of memory"),
    sample("astronomy/1", predicted=None),
]


def accuracy_run(samples=SAMPLES, questions=()):
    result = run_result(SPEC, summary=accuracy_summary(samples, SUBJECTS))
    dataset = DatasetInfo("mmlu", "full", "/data/mmlu", "d" * 64, True, len(samples), 2)
    return replace(
        result,
        samples=samples,
        questions=questions,
        dataset=dataset,
        command="modeltest a b",
        verdict=Verdict.INVALID,
    )


def page_of(result, directory) -> str:
    paths = RunPage().write(result, directory)
    assert all(path.is_file() for path in paths)
    return paths[0].read_text(encoding="utf-8")


def packed(page: str, name: str):
    found = re.search(rf'<script type="application/x-deflate\+base64" id="{name}">([^<]*)</script>', page)
    assert found
    return json.loads(zlib.decompress(b64decode(found[1])))


def words_of(page: str) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body))


def test_it_is_a_report():
    assert isinstance(RunPage(), Report)
    assert RunPage().accepts(performance_run())
    assert not RunPage().accepts(replace(performance_run(), summary=None))


def test_questions_are_in_the_order_of_the_dataset_whatever_was_answered_first(tmp_path):
    found = packed(page_of(accuracy_run(), tmp_path), "questions-data")
    assert found["id"] == ["astronomy/0", "astronomy/1", "botany/2", "botany/10"]
    assert found["state"] == "fnwr"
    assert found["error"] == {"0": "out of memory"}
    assert [found["subjects"][number] for number in found["subject"]] == ["astronomy"] * 2 + ["botany"] * 2
    assert found["margin"] == [None, 0.5, 1e-05, 0.5]
    assert found["logprobs"] == [[], [-0.5, -1.0], [-0.5, -1.0], [-0.5, -1.0]]


def test_what_prompts_share_is_said_once():
    asked = [question(each.score.request_id, f"Question {each.score.request_id}?") for each in SAMPLES]
    found = columns(accuracy_run(questions=asked), SAMPLES, near_tie_margin=1e-4)
    assert found["prefixes"] == [(("header", "Header."), ("shot", "Shot one. "), ("shot", "Shot two. "))]
    assert found["prefix"] == [0, 0, 0, 0]
    assert found["question"][0] == "Question botany/10?"
    assert found["choice_sets"] == [(" A", " B")]


def test_a_prompt_that_is_not_the_one_that_was_asked_is_not_shown(tmp_path):
    asked = [question("botany/10", "asked"), question("botany/2", "another", digest="of another")]
    page = page_of(accuracy_run(questions=asked), tmp_path)
    assert packed(page, "questions-data")["question"] == [None, None, None, "asked"]


def test_a_page_without_prompts_says_why(tmp_path):
    assert "The prompts are not shown" in words_of(page_of(accuracy_run(), tmp_path))
    asked = [question(each.score.request_id, "?") for each in SAMPLES]
    assert "The prompts are not shown" not in words_of(page_of(accuracy_run(questions=asked), tmp_path))


def test_a_page_of_very_many_questions_shows_none_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr("reports.run_page.accuracy.MOST_QUESTIONS", 1)
    page = page_of(accuracy_run(), tmp_path)
    assert "there are more than a page can hold" in words_of(page)
    assert 'id="questions-data"' not in page


def test_turns_of_a_chat_keep_their_roles():
    prompt = ChatPrompt(
        (Turn("system", "S"),), ((Turn("user", "U"), Turn("assistant", "A")),), (Turn("user", "Q"),)
    )
    asked = [Question(Request("botany/10", prompt), "digest of botany/10")]
    found = columns(accuracy_run(questions=asked), SAMPLES[:1], near_tie_margin=1e-4)
    assert found["prefixes"] == [(("system", "S"), ("user", "U"), ("assistant", "A"))]
    assert found["question"] == [[("user", "Q")]]


def test_the_table_of_answers_counts_what_was_said_instead(tmp_path):
    result = accuracy_run()
    other = replace(SAMPLES[0].score, expected="B", predicted="A", correct=False)
    samples = [*SAMPLES, replace(SAMPLES[0], score=other)]
    content = accuracy_content(replace(result, samples=samples), result.summary, _Texts())
    table = content.values["answers"]
    assert table.answers == ["A", "B"]
    # Right is A: once A, once B, once nothing; the failed question counts nowhere.
    assert table.rows == [("A", [1, 1], 1), ("B", [1, 0], 0)]
    assert content.values["chance"] == 0.5


def test_numbers_that_questions_ask_for_are_no_answers_to_guess_among():
    result = accuracy_run()
    nobody_guesses = replace(result.summary, guess_rate=None)
    content = accuracy_content(replace(result, samples=SAMPLES), nobody_guesses, _Texts())
    assert content.values["chance"] is None
    assert content.values["answers"] is None


def test_an_accuracy_page_says_what_was_found(tmp_path):
    words = words_of(page_of(accuracy_run(), tmp_path))
    assert "INVALIDDo not use these numbers." in words
    assert "25.00%" in words
    assert "95 % interval 4.56 % … 69.94 %" in words  # Wilson, 1 of 4
    assert "Failed1" in words
    assert "No answer1" in words
    assert "modeltest a b" in words
    assert "f" * 64 in words


def test_nothing_that_a_model_or_dataset_says_becomes_markup(tmp_path):
    asked = [question("botany/10", HOSTILE)]
    said = replace(SAMPLES[0], completion=Completion("botany/10", text=HOSTILE, choice_logprobs=(-1.0, -2.0)))
    subject = {HOSTILE: {"category": HOSTILE}, "other": {"category": "O"}}
    scores = [
        replace(SAMPLES[1], score=replace(SAMPLES[1].score, subject=name, category=row["category"]))
        for name, row in subject.items()
    ]
    samples = [said, *scores]
    result = replace(
        accuracy_run(samples, asked),
        summary=accuracy_summary(samples, subject),
        model=replace(MODEL, name=HOSTILE),
        reasons=(HOSTILE,),
        command=HOSTILE,
    )
    page = page_of(result, tmp_path)
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "alert(1)" in packed(page, "questions-data")["question"][-1] + words_of(page)
    svg = (tmp_path / "plots" / "accuracy_by_category.svg").read_text(encoding="utf-8")
    assert "<script" not in svg


def test_a_stopped_run_says_so(tmp_path):
    stopped = replace(
        accuracy_run(),
        status="partial",
        error="interrupted",
        interruptions=(Interruption("2025-01-01T00:00:00+00:00", "interrupted", 4),),
    )
    words = words_of(page_of(stopped, tmp_path))
    assert "This run did not come to its end (partial)." in words
    assert "2025-01-01T00:00:00+00:00: interrupted (4)" in words


def test_the_headline_of_several_cases_names_the_best_that_may_be_used(tmp_path):
    words = words_of(page_of(performance_run(), tmp_path))
    head = words.partition("Medians over trials")[0]
    assert "Cases2" in head
    assert "Lowest TPOT4.000 ms4.000 … 4.00016x2, batch 2" in head
    assert "Highest output throughput50.00 tokens/s48.44 … 51.568x3, batch 2" in head


def test_the_headline_of_one_case_has_its_intervals(tmp_path):
    run = performance_run()
    only = replace(run.summary, cases=run.summary.cases[:1])
    head = words_of(page_of(replace(run, summary=only), tmp_path)).partition("Medians over trials")[0]
    assert "TPOT10.00 ms9.689 … 10.31" in head


def test_outputs_of_several_lengths_are_lines_of_their_own(tmp_path):
    run = performance_run()
    first = run.summary.cases[0]
    shapes = [Case(8, 3), Case(8, 9), Case(64, 3), Case(64, 9)]
    cases = tuple(replace(first, case=shape) for shape in shapes)
    page_of(replace(run, summary=replace(run.summary, cases=cases)), tmp_path)
    drawn = (tmp_path / "plots" / "latency_by_length.svg").read_text(encoding="utf-8")
    assert all(f"batch {first.batch_size}, {length} out" in drawn for length in (3, 9))


def test_a_performance_page_has_every_case_with_its_interval(tmp_path):
    page = page_of(performance_run(), tmp_path)
    words = words_of(page)
    assert "120.0" not in words  # E2E is in seconds
    assert "0.1200" in words
    assert re.search(r"TPOT.*10\.00", words)
    names = {path.stem for path in (tmp_path / "plots").glob("*.svg")}
    assert names == {path.stem for path in (tmp_path / "plots").glob("*.png")}
    assert names == {"latency_by_token_8x3", "trials", "latency_by_length"}


def test_a_case_that_did_not_fit_is_shown_without_numbers(tmp_path):
    words = words_of(page_of(out_of_memory_run(), tmp_path))
    assert "INVALID" in words
    assert "ran out of memory" in words


def test_the_page_of_a_search_shows_limit_answer_and_every_probe(tmp_path):
    result = max_batch_run()
    page = page_of(result, tmp_path)
    words = words_of(page)
    assert "Largest batch within the limit" in words
    for probe in result.summary.cases[0].probes:
        assert f'data-v="{probe.batch_size}"' in page
    svg = (tmp_path / "plots" / "probes_8x3.svg").read_text(encoding="utf-8")
    assert "limit 10 ms" in svg


def test_a_search_without_an_answer_has_a_page_too(tmp_path):
    words = words_of(page_of(max_batch_run(feasible=False), tmp_path))
    assert "NONE_FEASIBLE" in words


def test_generated_texts_are_shown_as_text(tmp_path):
    texts = (
        GeneratedText(0, "Hello", HOSTILE, 5, 7, Finish.LENGTH),
        GeneratedText(1, "Again", None, 5, 0, None, error="no room"),
    )
    words = page_of(run_result(replace(SPEC, task="generate"), summary=GenerationSummary(2, texts)), tmp_path)
    assert "&lt;img src=x" in words
    assert "no room" in words
    assert not (tmp_path / "plots").exists()


def test_the_numbers_of_another_harness_are_shown_under_its_names(tmp_path):
    metric = HarnessMetric("arc_easy", "none", "acc,none", 0.25, 0.01, True, 0, 2376, "1.0")
    result = run_result(replace(SPEC, task="lm_eval"), summary=HarnessSummary("lm_eval", "0.4.13", (metric,)))
    words = words_of(page_of(result, tmp_path))
    assert "arc_easy" in words
    assert "2,376" in words


def test_a_page_lacks_nothing_where_nothing_is_known(tmp_path):
    result = replace(performance_run(), engine=None, adapter=None, verdict=None, machine={}, command=None)
    assert "What was run" in words_of(page_of(result, tmp_path))


def test_equal_results_give_equal_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        RunPage().write(performance_run(), tmp_path / name)
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert first == second


def test_without_matplotlib_nothing_is_written(tmp_path, monkeypatch):
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "reports.page.extra.find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    with pytest.raises(MissingExtra, match=r"report\.html and plots/ left out: matplotlib is not installed"):
        RunPage().write(performance_run(), tmp_path)
    assert list(tmp_path.iterdir()) == []


class _Texts(dict):
    """Any text is its key."""

    def __missing__(self, key):
        return {"en": key, "zh": key}


def test_token_ids_are_not_kept_while_a_page_is_made():
    whole = [
        replace(each, completion=replace(each.completion, prompt_tokens=tuple(range(1000))))
        for each in SAMPLES
    ]
    assert all(
        not each.completion.prompt_tokens for each in _in_order(_answers(whole), accuracy_run().summary)
    )


@pytest.mark.parametrize("kind", ["accuracy", "performance", "maxbs", "generation", "harness"])
def test_no_two_elements_of_a_page_have_one_id(tmp_path, kind):
    text = GeneratedText(0, "Hello", "Hi", 5, 7, Finish.STOP)
    metric = HarnessMetric("t", "none", "acc,none", 0.25, 0.01, True, 0, 10, "1.0")
    runs = {
        "accuracy": accuracy_run(),
        "performance": performance_run(),
        "maxbs": max_batch_run(),
        "generation": run_result(SPEC, summary=GenerationSummary(1, (text,))),
        "harness": run_result(SPEC, summary=HarnessSummary("lm_eval", "0.4.13", (metric,))),
    }
    page = page_of(runs[kind], tmp_path)
    ids = re.findall(r'<[^>]* id="([^"]+)"', re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL))
    assert sorted(set(ids)) == sorted(ids)


def chinese_page(result) -> str:
    return run_page(result, content_of(result, load_texts(("run", "plot"))), language="zh")


def test_reasons_warnings_and_the_end_of_a_search_are_said_in_both_languages():
    searched = max_batch_run()
    failed = Finding(FindingCode.QUESTIONS_CUT_SHORT, {"asked": 90, "expected": 100})
    busy = Finding(FindingCode.MACHINE_BUSY, {"load": 3.2, "cpus": 4.0})
    result = replace(
        searched,
        reasons=sentences([failed]),
        reason_codes=(failed,),
        warnings=sentences([busy]),
        warning_codes=(busy,),
    )
    words = words_of(chinese_page(result))
    assert "100 题中只问了 90 题：运行中途停止" in words
    assert "运行前 4 个处理器上的负载为 3.2" in words
    assert sentence(searched.summary.cases[0].reason_code, "zh") in words
    in_english = run_page(result, content_of(result, load_texts(("run", "plot"))), language="en")
    assert "90 of 100 questions were asked: the run was cut short" in words_of(in_english)
    assert "100 题中只问了 90 题" in in_english  # for the button that changes the language


def test_what_stopped_a_run_is_said_in_both_languages():
    killed = Finding(
        FindingCode.WORKER_KILLED,
        {"signal": "SIGKILL", "rank": None, "where": Finding(FindingCode.BEFORE_FIRST_BATCH)},
    )
    stop = Interruption("2025-01-01T00:00:00+00:00", sentence(killed), 4, reason_code=killed)
    page = chinese_page(replace(performance_run(), interruptions=(stop,)))
    assert "2025-01-01T00:00:00+00:00: 在第一批之前工作进程被 SIGKILL 终止 (4)" in words_of(page)
    assert "the worker was killed by SIGKILL before its first batch (4)" in page


def test_faults_of_cases_are_said_in_chinese():
    words = words_of(chinese_page(out_of_memory_run()))
    assert "内存耗尽" in words
    assert "ran out of memory" not in words


def test_what_an_older_run_recorded_without_values_is_shown_as_it_was_recorded():
    older = replace(performance_run(), reasons=("so it was <b>recorded</b>",), reason_codes=())
    page = chinese_page(older)
    assert '<span lang="en">so it was &lt;b&gt;recorded&lt;/b&gt;</span>' in page
