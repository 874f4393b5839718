"""`modeltest compare` as its users call it: what it prints, writes and returns."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from made_answers import sample
from made_runs import accuracy_result, performance_result, run_result
from rounded_runs import rounded_run

from modeltest.api import GenerationSummary, HarnessMetric, HarnessSummary, RunSpec, SpecError, TaskOptions
from modeltest.cli.root import root
from modeltest.run.record.directory import write_result
from modeltest.run.record.journal import FILE_NAME, JournalWriter
from modeltest.schema import schemas


def write_run(directory: Path, result) -> str:
    directory.mkdir()
    write_result(directory, result)
    with JournalWriter(directory / FILE_NAME) as journal:
        journal.append((*result.samples, *result.measurements))
    return str(directory)


def compare(*arguments: str):
    """Return the exit status and what was printed; an error of ours is raised, as main does."""
    result = CliRunner().invoke(root, ["compare", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def questions(count: int, wrong: int) -> list:
    """Return questions of which the first are answered wrong, with a wide margin."""
    return [
        sample(f"boolq/{index}", "no", logprobs=(-2.4, -0.1))
        if index < wrong
        else sample(f"boolq/{index}", "yes", logprobs=(-0.1, -2.4))
        for index in range(count)
    ]


@pytest.fixture
def runs(tmp_path):
    """Return the directories of a reference and of a candidate with 12 more wrong answers of 100."""
    return (
        write_run(tmp_path / "reference", accuracy_result(questions(100, 0))),
        write_run(tmp_path / "candidate", accuracy_result(questions(100, 12))),
    )


def test_a_run_compared_with_itself_passes(runs):
    status, text = compare(runs[0], runs[0])
    assert status == 0
    assert "all 100 answers are identical" in text
    assert text.rstrip().endswith("outcome: ACCEPT")


def test_a_broken_port_fails_with_its_table_and_its_questions(runs):
    status, text = compare(*runs)
    assert status == 1
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "reference right 88 12" in lines
    assert "reference wrong 0 0" in lines
    assert (
        "accuracy 100.00% -> 88.00%, -12.00% (95 % interval -19.81% .. -7.00%), McNemar p = 0.00049" in lines
    )
    assert any(line.startswith("boolq/0 yes yes 2.3 no 2.3 wide") for line in lines)
    assert lines[-1] == "outcome: REJECT"


def test_json_is_that_of_the_schema_and_nothing_else_is_printed(runs):
    _, text = compare(*runs, "--format", "json")
    content = json.loads(text)
    jsonschema.validate(content, schemas()["comparison.schema.json"])
    assert content["accuracy"]["overall"]["table"]["reference_only"] == 12


def test_every_report_is_written_where_it_is_asked_for(runs, tmp_path):
    folder = tmp_path / "new" / "folder"
    compare(*runs, "--output", str(folder))
    written = {path.name for path in folder.iterdir()}
    assert {"comparison.json", "comparison.md"} <= written
    assert (folder / "comparison.md").read_text(encoding="utf-8").startswith("# REJECT: boolq")


def test_undecided_counts_as_asked(tmp_path):
    one = write_run(tmp_path / "one", accuracy_result(questions(400, 0)))
    other = write_run(tmp_path / "other", accuracy_result(questions(400, 1)))
    words = (one, other, "--max-kl", "1")
    status, text = compare(*words)
    assert (status, text.rstrip().splitlines()[-1]) == (1, "outcome: UNDECIDED")
    assert compare(*words, "--undecided", "pass")[0] == 0
    assert compare(*words, "--max-drop", "5%", "--max-flips", "5%")[0] == 0


def test_what_cannot_be_compared_ends_with_two_and_a_list(runs, tmp_path):
    other = accuracy_result(questions(100, 0), protocol_version="2")
    with pytest.raises(SpecError, match=r"protocol version: 1 \| 2") as refusal:
        compare(runs[0], write_run(tmp_path / "other", other))
    assert refusal.value.exit_code == 2
    status, text = compare(runs[0], str(tmp_path / "other"), "--allow", "protocol")
    assert status == 0
    assert "ALLOWED although protocol version differs: 1 | 2" in text
    assert compare(runs[0], str(tmp_path / "other"), "--allow", "all")[0] == 0


def test_sessions_of_timed_runs_are_given_by_repeating_options(tmp_path):
    before = [write_run(tmp_path / f"a{i}", performance_result(10 + i / 100)) for i in range(3)]
    after = [write_run(tmp_path / f"b{i}", performance_result(14 + i / 100)) for i in range(3)]
    words = [before[0], after[0]]
    for option, more in (("--reference", before), ("--candidate", after)):
        words += [word for path in more[1:] for word in (option, path)]
    status, text = compare(*words)
    assert status == 1
    assert "3 sessions" in text
    assert "latency 8x3 batch 1 tpot_ms" in " ".join(text.split())
    assert "note: one session" not in text
    _, single = compare(before[0], before[1])
    assert "note: one session on the side of the reference" in single


def test_a_calibration_made_of_runs_is_used(tmp_path):
    runs = [write_run(tmp_path / f"a{i}", performance_result(10 + 3 * (i % 2))) for i in range(4)]
    path = tmp_path / "calibration.json"
    words = ["calibrate", *(word for run in runs for word in ("--from", run)), "--to", str(path)]
    result = CliRunner().invoke(root, words, standalone_mode=False)
    assert result.return_value == 0, result.output
    content = json.loads(path.read_text())
    jsonschema.validate(content, schemas()["calibration.schema.json"])
    tpot = next(each for each in content["tolerances"] if each["metric"] == "tpot_ms")
    assert tpot["largest_ratio"] == pytest.approx(1.3)
    assert compare(runs[0], runs[1])[0] == 1
    status, text = compare(runs[0], runs[1], "--calibration", str(path))
    assert status == 0
    assert "*" in text


def test_a_calibration_measured_here_holds_every_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "calibrate --case 8,4 --engine fake --model none --profile llama --sessions 4 --quick"
    result = CliRunner().invoke(root, words.split(), standalone_mode=False)
    assert result.return_value == 0, result.exception or result.output
    content = json.loads((tmp_path / "calibration.json").read_text())
    assert content["sessions"] == 4
    assert [each["metric"] for each in content["tolerances"]] == ["ttft_ms", "tpot_ms", "e2e_s"]
    assert {each["tolerance"] for each in content["tolerances"]} == {0.01}, "the fake repeats itself exactly"
    assert len(list((tmp_path / "outputs").iterdir())) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calibrate"], "no model to measure"),
        (["calibrate", "--model", "none"], "no case to measure"),
        (["calibrate", "--from", "nowhere"], "nowhere is not a run"),
    ],
)
def test_calibrate_says_what_it_lacks(words, message):
    with pytest.raises(SpecError, match=message):
        root.main(words, standalone_mode=False)


def test_generations_are_compared_token_by_token(tmp_path):
    spec = RunSpec("hf", "generate", "generate", "llama", "/w")
    for name, last in (("one", 7), ("other", 8)):
        result = run_result(spec, summary=GenerationSummary(2, ()))
        write_run(tmp_path / name, result)
        said = {"prompt": "p", "text": "t", "prompt_tokens": 1, "finish": "length", "cut_prompt_tokens": 0}
        lines = [
            {"index": i, **said, "output_tokens": [5, last if i else 6], "error": None} for i in range(2)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "generations.jsonl").write_text(text)
    words = (str(tmp_path / "one"), str(tmp_path / "other"))
    status, text = compare(*words)
    assert status == 1
    assert "identical outputs: 1 of 2" in text
    assert "INCONCLUSIVE" in text
    assert compare(*words, "--min-identical", "60%")[0] == 1
    assert compare(*words, "--min-identical", "50%")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-drop", "0.5"], "'0.5' may mean 0.5% or 50"),
        (["--max-drop", "half"], "'half' is not a percentage such as 0.5%"),
        (["--max-drop", "120%"], "'120%' is not between 0% and 100%"),
        (["--format", "pdf"], "'pdf' is none of table,"),
        (["--allow", "everything"], "'everything' is not one of"),
    ],
)
def test_wrong_options_are_explained(runs, words, message):
    result = CliRunner().invoke(root, ["compare", *runs, *words])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 1}', '{"format_version": 9}'])
def test_a_file_that_is_no_calibration_is_refused(runs, tmp_path, content):
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(SpecError, match=r"c\.json"):
        compare(*runs, "--calibration", str(path))


def test_a_path_without_a_run_is_refused(runs, tmp_path):
    with pytest.raises(SpecError, match=r"is not a run: it has no run\.json"):
        compare(runs[0], str(tmp_path))


def test_a_session_given_twice_is_refused(tmp_path):
    runs = [write_run(tmp_path / name, performance_result()) for name in "ab"]
    again = str(tmp_path / "b" / ".." / "a")
    with pytest.raises(SpecError, match="given twice as a session of the reference"):
        compare(*runs, "--reference", again)
    assert compare(runs[0], runs[0])[0] == 0, "a run may be compared with itself"


@pytest.mark.parametrize(("name", "text"), [(FILE_NAME, '{"sample": 5}\n'), ("run.json", "{")])
def test_a_damaged_run_is_not_comparable_and_no_failure(runs, name, text):
    (Path(runs[1]) / name).write_text(text)
    with pytest.raises(SpecError, match=name) as refusal:
        compare(*runs)
    assert refusal.value.exit_code == 2


def test_runs_without_their_journals_are_refused(runs):
    for run in runs:
        (Path(run) / FILE_NAME).unlink()
    with pytest.raises(SpecError, match=r"samples\.jsonl has lost 100 of the 100 lines"):
        compare(*runs)


def test_markup_in_answers_is_text(tmp_path):
    answers = [sample(f"s/{i}", "[red]|<b>*x*", expected="[red]|<b>*x*") for i in range(3)]
    one = write_run(tmp_path / "one", accuracy_result(answers))
    other = write_run(
        tmp_path / "other", accuracy_result([sample("s/0", "no", expected="[red]|<b>*x*"), *answers[1:]])
    )
    _, text = compare(one, other)
    assert "[red]|<b>*x*" in text
    _, markdown = compare(one, other, "--format", "markdown")
    assert "&#91;red&#93;&#124;&#60;b&#62;" in markdown


def test_the_invalid_candidate_of_questions_that_failed_is_a_failure(runs, tmp_path):
    failed = [*questions(99, 0), sample("boolq/99", None, error="log-probabilities that are not finite: nan")]
    result = accuracy_result(failed)
    result = replace(result, verdict=type(result.verdict).INVALID, reasons=("1 of 100 questions failed",))
    status, text = compare(runs[0], write_run(tmp_path / "nan", result))
    assert status == 1
    assert "the candidate failed on 1 questions" in text


def write_harness_run(directory: Path, right: int, *, log_samples: bool = True, **fields) -> str:
    metrics = (HarnessMetric("tiny", "none", "acc", right / 40, None, True, 0, 40, "1.0"),)
    spec = RunSpec("hf", "lm_eval", "lm_eval", "m", "/w", batch_sizes=((8,),), options=TaskOptions())
    result = run_result(spec, summary=HarnessSummary("lm-eval", "0.4.13", metrics), **fields)
    write_run(directory, result)
    (directory / "lm_eval_results.json").write_text(json.dumps({"results": {"tiny": {}}}))
    lines = [
        {
            "doc_id": number,
            "target": "0",
            "filter": "none",
            "filtered_resps": [["-1.0", "True"], [str(-2.0 if number < right else -0.5), "False"]],
            "metrics": ["acc"],
            "acc": float(number < right),
            **{name: f"{name}{number}" for name in ("doc_hash", "prompt_hash", "target_hash")},
        }
        for number in range(40)
    ]
    if log_samples:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (directory / "samples_tiny_2026-01-01T00-00-00.1.jsonl").write_text(text)
    return str(directory)


def test_runs_of_lm_eval_are_compared_by_the_answers_they_kept(tmp_path):
    one, other = (write_harness_run(tmp_path / str(right), right) for right in (30, 15))
    status, text = compare(one, other)
    assert status == 1
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "reference right 15 15" in lines
    assert "note: task tiny: right and wrong by its metric acc, filter none" in lines
    assert any(line.startswith("accuracy FAIL accuracy drops by 37.50%") for line in lines)
    assert "divergence" not in text
    assert compare(one, one)[0] == 0


def test_runs_of_lm_eval_without_answers_are_told_how_to_keep_them(tmp_path):
    one = write_harness_run(tmp_path / "one", 30)
    other = write_harness_run(tmp_path / "other", 30, log_samples=False)
    with pytest.raises(SpecError, match=r"other kept no answers.*--log-samples"):
        compare(one, other)


def test_a_journal_that_lost_answers_is_named(runs):
    path = Path(runs[1]) / FILE_NAME
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:60]))
    with pytest.raises(SpecError, match=r"samples\.jsonl has lost 40 of the 100 lines"):
        compare(*runs)


def test_the_directory_of_another_node_is_told_apart(runs, tmp_path):
    result = replace(accuracy_result(questions(3, 0)), status="followed", summary=None, verdict=None)
    with pytest.raises(SpecError, match="is the part of another node, which has no results"):
        compare(runs[0], write_run(tmp_path / "node1", result))


def test_the_interval_of_times_is_called_by_its_confidence(tmp_path):
    one, other = (write_run(tmp_path / name, performance_result()) for name in "ab")
    for shown in ("table", "markdown", "html"):
        _, text = compare(one, other, "--confidence", "99.5%", "--format", shown)
        assert "99.5 % interval" in text
        assert " 95 % interval" not in text


def test_calibrate_takes_equal_sessions_only_each_once(tmp_path):
    runs = [write_run(tmp_path / str(number), performance_result()) for number in range(4)]
    result = performance_result()
    other = replace(result, engine=replace(result.engine, dtype="bfloat16"))
    runs.append(write_run(tmp_path / "other", other))
    for chosen, message in ((runs, "other is no session of the same"), (runs[:4] + runs[:1], "given twice")):
        words = [word for run in chosen for word in ("--from", run)]
        with pytest.raises(SpecError, match=message):
            root.main(["calibrate", *words, "--to", str(tmp_path / "c.json")], standalone_mode=False)


def test_calibrate_tries_the_place_of_its_file_first(tmp_path):
    for place in (tmp_path, tmp_path / "none" / "c.json"):
        words = ["calibrate", "--case", "8,4", "--model", "none", "--engine", "fake", "--to", str(place)]
        with pytest.raises(SpecError, match=r"--to .*give the file that the tolerances go to"):
            root.main(words, standalone_mode=False)


def test_across_dtypes_nothing_passes_without_a_twin_and_a_right_port_does_with_one(tmp_path):
    base = write_run(tmp_path / "base", rounded_run(seed=None))
    twin = write_run(tmp_path / "twin", rounded_run(seed=1))
    port = write_run(tmp_path / "port", rounded_run(seed=2))
    broken = write_run(tmp_path / "broken", rounded_run(seed=3, fault=0.1))
    status, text = compare(base, port)
    assert status == 1
    assert "run the reference's engine on the same questions in bfloat16" in " ".join(text.split())
    assert compare(base, port, "--undecided", "pass")[0] == 0
    status, text = compare(base, port, "--twin", twin)
    assert (status, text.rstrip().splitlines()[-1]) == (0, "outcome: ACCEPT")
    assert f"twin: {twin} (hf in bfloat16), 300 questions" in text
    status, text = compare(base, broken, "--twin", twin, "--twin", port)
    assert (status, text.rstrip().splitlines()[-1]) == (1, "outcome: REJECT")
