"""Task files from the command line to the files of a run: real processes on the fake engine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks

from modeltest.api import Record, RunSpec, SpecError, TaskData, TaskOptions
from modeltest.task_files.load import load_task_file
from modeltest.task_files.named import allow_code, name_of
from modeltest.testing import TaskContract
from modeltest.testing.task_contract import Asked

CAPITALS = 'name = "capitals"\nkind = "choices"\ndata = "capitals.jsonl"\nshots = "shots.jsonl"\n'
ROWS = [
    {"question": "Norway?", "A": "Bergen", "B": "Oslo", "answer": "B"},
    {"question": "Kenya?", "A": "Nairobi", "B": "Mombasa", "C": "Kisumu", "answer": "A"},
    {"question": "Peru?", "A": "Cusco", "B": "Quito", "C": "Ica", "D": "Lima", "answer": "D"},
]
WORDS = """\
from modeltest.tasks import QuestionTask


class _Base(QuestionTask):
    pass


class Backwards(_Base):
    name = "backwards"
    data = "words.csv"

    def prompt(self, record):
        return f"{record.fields['word']} backwards is"

    def answer(self, text, record):
        return text.strip() or None
"""
FAKE = ("--engine", "fake", "--model", "none")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "capitals.toml").write_text(CAPITALS)
    (tmp_path / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "shots.jsonl").write_text(json.dumps(ROWS[0] | {"question": "Oslo?"}) + "\n")
    (tmp_path / "words.py").write_text(WORDS)
    (tmp_path / "words.csv").write_text("word,answer\nabc,cba\nno,on\n")
    return tmp_path


def modeltest(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MODELTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "modeltest", *words],
        cwd=place,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def run_of(place: Path, *words: str) -> tuple[Path, dict]:
    done = modeltest(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    directory = max((place / "outputs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return directory, json.loads((directory / "run.json").read_text())


def failed(place: Path, *words: str) -> tuple[int, str]:
    """Return exit status and the line of the error, which are the same with --dry-run."""
    done, dry = modeltest(place, *words), modeltest(place, *words, "--dry-run")
    assert (done.returncode, done.stderr) == (dry.returncode, dry.stderr)
    return done.returncode, done.stderr


def test_options_and_words_of_run_sh_ask_for_the_same_task(place):
    by_option = modeltest(place, "accuracy", "--task-file", "capitals.toml", *FAKE, "--dry-run")
    by_words = modeltest(place, "fake", "file:capitals.toml", "0", "8", "auto", "none", "1", "--dry-run")
    assert by_option.returncode == 0, by_option.stderr
    assert json.loads(by_option.stdout) == json.loads(by_words.stdout)
    spec = json.loads(by_option.stdout)
    assert (spec["task"], spec["mode"]) == (f"file:{place / 'capitals.toml'}", "capitals")


def test_a_run_records_the_file_and_its_rows_and_report_holds_it_to_them(place):
    answer = ("--engine-option", "answer=The answer is B.")
    directory, run = run_of(place, "fake", "file:capitals.toml", "0", "2", "auto", "none", "1", *answer)
    assert (run["summary"]["micro"]["correct"], run["summary"]["micro"]["total"]) == (1, 3)
    assert run["summary"]["guess_rate"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert run["task_files"].keys() == {"capitals.toml"}
    assert run["dataset"]["name"] == "capitals"
    assert modeltest(place, "report", str(directory)).returncode == 0

    (place / "capitals.toml").write_text(f'title = "Capitals"\n{CAPITALS}')
    changed = modeltest(place, "report", str(directory))
    assert changed.returncode == 2
    assert re.search(r"capitals\.toml is not what it was when the run began: its sha256 is", changed.stderr)

    (place / "capitals.toml").write_text(CAPITALS)
    with (place / "capitals.jsonl").open("a") as file:
        file.write(json.dumps(ROWS[0]) + "\n")
    changed = modeltest(place, "report", str(directory))
    assert changed.returncode == 2
    assert "capitals.jsonl are not those of the run" in changed.stderr


def test_worked_examples_stand_before_the_questions(place):
    _, run = run_of(
        place,
        "accuracy",
        "--task-file",
        "capitals.toml",
        "--shots",
        "1",
        *FAKE,
        "--engine-option",
        "answer=D",
    )
    assert run["summary"]["micro"]["correct"] == 1
    (place / "capitals.toml").write_text(CAPITALS.replace("shots", "#"))
    status, line = failed(place, "accuracy", "--task-file", "capitals.toml", "--shots", "1", *FAKE)
    assert (status, line) == (
        2,
        "error: shots are asked for, and the file of task 'capitals' names no `shots`\n",
    )


def test_a_run_that_lost_its_worker_goes_on_with_the_file_and_not_with_another(place):
    words = ("fake", "file:capitals.toml", "0", "1", "auto", "none", "1")
    once = ("--engine-option", "fail_every=0", "--engine-option", f"once={place / 'once'}")
    crash = ("--engine-option", "device_error_at=capitals/1", *once)
    directory, run = run_of(place, *words, *crash)
    assert run["status"] == "complete"
    text = (directory / "run.json").read_text()
    (directory / "run.json").write_text(text.replace('"status": "complete"', '"status": "partial"', 1))
    (place / "capitals.toml").write_text(CAPITALS + "# changed\n")
    done = modeltest(place, "run", "--resume", str(directory))
    assert done.returncode == 2
    assert "task file capitals.toml was" in done.stderr
    (place / "capitals.toml").write_text(CAPITALS)
    done = modeltest(place, "run", "--resume", str(directory))
    assert done.returncode == 0, done.stderr


def test_runs_of_equal_files_compare_wherever_they_lay_and_others_do_not(place):
    words = ("0", "2", "auto", "none", "1")
    one, _ = run_of(place, "fake", "file:capitals.toml", *words)
    moved = place / "moved"
    moved.mkdir()
    for name in ("capitals.toml", "capitals.jsonl"):
        (moved / name).write_bytes((place / name).read_bytes())
    other, _ = run_of(place, "fake", f"file:{moved / 'capitals.toml'}", *words)
    assert modeltest(place, "compare", str(one), str(other)).returncode == 0
    (moved / "capitals.toml").write_text(CAPITALS + "# another\n")
    another, _ = run_of(place, "fake", f"file:{moved / 'capitals.toml'}", *words)
    done = modeltest(place, "compare", str(one), str(another))
    assert done.returncode == 2
    assert re.search(r"task: file capitals\.toml \(sha256 \w{12}\) \| file capitals\.toml", done.stderr)
    assert "runs of different tasks have nothing to compare" in done.stderr


def test_a_suite_finds_the_file_beside_itself(place):
    pytest.importorskip("yaml")
    folder = place / "suites"
    folder.mkdir()
    for name in ("capitals.toml", "capitals.jsonl"):
        (place / name).rename(folder / name)
    text = "models: [none]\nengines: [fake]\ntasks:\n  - accuracy: {task-file: capitals.toml}\n"
    (folder / "suite.yaml").write_text(text)
    done = modeltest(place, "suite", "suites/suite.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "capitals" in done.stdout
    (folder / "capitals.toml").write_text("name = 3")
    done = modeltest(place, "suite", "suites/suite.yaml")
    assert done.returncode == 2
    assert re.search(r"suite\.yaml, line 4: accuracy: .*capitals\.toml", done.stderr)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("", "no rows; .*capitals.toml, line 3 names it"),
        ("[]", "line 1: a JSON list; expected one object per line"),
        ("{", "line 1: not JSON"),
        (
            json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0] | {"answer": "C"}),
            "line 2: the answer is 'C'; expected",
        ),
        (json.dumps(ROWS[0] | {"A": "Oslo"}), "line 1: option B is 'Oslo', as one before it"),
    ],
)
def test_rows_that_do_not_fit_end_with_4_before_anything_starts(place, rows, told):
    (place / "capitals.jsonl").write_text(rows)
    status, line = failed(place, "accuracy", "--task-file", "capitals.toml", *FAKE)
    assert status == 4
    assert re.search(rf"capitals\.jsonl.*{told}", line)
    assert not (place / "outputs").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "header.csv",
            "question,A,B,A,answer\n",
            "line 1: a column of the header has no name, or that of another",
        ),
        ("short.csv", "question,A,B,answer\nq,a,b\n", "line 2: 3 columns; expected 4: question,A,B,answer"),
        ("column.csv", "question,A,B\nq,a,b\n", "line 2: no column 'answer'; there are 'question', 'A', 'B'"),
        ("gone.csv", None, "line 3: its rows are to be in .*gone.csv, and there is no such file"),
    ],
)
def test_csv_that_does_not_fit_is_told_with_its_line(place, name, text, told):
    if text is not None:
        (place / name).write_text(text)
    (place / "capitals.toml").write_text(CAPITALS.replace("capitals.jsonl", name))
    status, line = failed(place, "fake", "file:capitals.toml", "0", "2", "auto", "none", "1")
    assert status == 4
    assert re.search(told, line), line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("accuracy", *FAKE), "give --task NAME, or --task-file FILE"),
        (("accuracy", "--task", "mmlu", "--task-file", "capitals.toml", *FAKE), "; not both"),
        (("accuracy", "--task-file", "gone.toml", *FAKE), "task file 'gone.toml': there is no such file"),
        (
            ("accuracy", "--task-file", "words.csv", *FAKE),
            "expected a file whose name ends with .toml or .py",
        ),
        (("accuracy", "--task-file", "capitals.toml", "--split", "sample", *FAKE), "has no split 'sample'"),
        (("fake", "file:", "0", "2", "auto", "none", "1"), "word 2 is 'file:'; expected file:FILE.toml"),
    ],
)
def test_a_file_that_cannot_be_meant_ends_with_2(place, words, told):
    status, line = failed(place, *words)
    assert status == 2
    assert told in line


def test_a_python_file_runs_and_is_trusted_by_who_names_it_alone(place):
    directory, run = run_of(
        place, "accuracy", "--task-file", "words.py", *FAKE, "--engine-option", "answer=on"
    )
    assert run["summary"]["micro"]["correct"] == 1
    done = modeltest(place, "report", str(directory))
    assert done.returncode == 2
    assert "words.py is code that would run, and it is named by a directory" in done.stderr
    assert modeltest(place, "report", str(directory), "--trust-remote-code").returncode == 0
    done = modeltest(place, "run", "--resume", str(directory))
    assert done.returncode == 2
    assert "would run the task file" in done.stderr
    # Reading a run imports nothing of it, so that comparing needs no trust.
    (place / "words.py").unlink()
    assert modeltest(place, "compare", str(directory), str(directory)).returncode == 0


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        (
            "import nothing_there",
            3,
            "cannot be imported: ModuleNotFoundError: No module named 'nothing_there'",
        ),
        ("raise SystemExit(9)", 3, "words.py cannot be imported: SystemExit: 9"),
        ("def (", 3, "words.py cannot be imported: SyntaxError"),
        (
            "x = 1",
            2,
            "words.py: one class of its own with the methods of modeltest.api.AccuracyTask is expected",
        ),
        (WORDS.replace("_Base", "Base"), 2, "and there is Base, Backwards; a name that begins with _"),
        (WORDS.replace('name = "backwards"', ""), 2, "words.py: name is None; expected a letter"),
        (WORDS.replace('"words.csv"', "3"), 2, "words.py: data is 3; expected a text"),
        (WORDS.replace('data = "words.csv"', ""), 2, "or `dataset` an installed dataset"),
    ],
)
def test_a_python_file_that_is_no_task_is_one_line(place, text, status, told):
    (place / "words.py").write_text(text)
    found, line = failed(place, "accuracy", "--task-file", "words.py", *FAKE)
    assert (found, line.count("\n")) == (status, 1)
    assert told in line


def test_what_a_python_file_raises_while_it_runs_is_one_line_with_its_place(place):
    (place / "words.py").write_text(WORDS.replace("record.fields['word']", "record.fields['wrd']"))
    done = modeltest(place, "accuracy", "--task-file", "words.py", *FAKE)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == f"error: task file {place / 'words.py'}, line 13: KeyError: 'wrd'"


def test_the_python_file_of_the_document_is_a_task(place):
    (text,) = (block.text for block in blocks(ROOT / "docs" / "task-file.md", "python"))
    (place / "words.py").write_text(text)
    directory, run = run_of(
        place, "accuracy", "--task-file", "words.py", *FAKE, "--engine-option", "answer=on"
    )
    assert run["summary"]["micro"]["correct"] == 1
    assert "backwards" in directory.name


def test_the_commands_of_the_document_run(tmp_path):
    shown = [block.text for block in blocks(ROOT / "docs" / "task-file.md", "bash")]
    (lines,) = (text.splitlines() for text in shown)
    for line in lines:
        words = re.findall(r'"[^"]*"|\S+', line.replace("docs/examples/", f"{ROOT}/docs/examples/"))
        done = modeltest(tmp_path, *(word.strip('"') for word in words[1:]))
        assert done.returncode == 0, done.stderr
    assert "50.00%" in done.stdout


FIELDS = {"question": "Which?", "A": "one", "B": "two", "answer": "B"}
KINDS = {
    "choices": ('kind = "choices"', FIELDS),
    "yes_no": ('kind = "yes_no"\nprompt = "{question}"', {**FIELDS, "answer": "yes"}),
    "generation": ('kind = "generation"\nprompt = "{question}"', {**FIELDS, "answer": "A"}),
    "number": ('kind = "generation"\nprompt = "{question}"\ncompare = "number"', {**FIELDS, "answer": "3"}),
}


class TestTaskFiles(TaskContract):
    """The contract of tasks holds for every kind of task file."""

    @pytest.fixture(params=[(kind, shots) for kind in KINDS for shots in (0, 1)], ids=str)
    def asked(self, request, tmp_path):
        kind, shots = request.param
        text, fields = KINDS[kind]
        (tmp_path / "t.toml").write_text(f'name = "t"\ndata = "t.csv"\n{text}\n')
        name = name_of(str(tmp_path / "t.toml"))
        records = [Record(f"t/{n}", "t", {**fields, "question": f"Which, {n}?"}) for n in range(3)]
        data = TaskData(records, {"t": [Record("t/9", "t", fields)]}, {"t": {}})
        return Asked(
            load_task_file(name),
            data,
            RunSpec("fake", "t", name, "auto", "none", options=TaskOptions(shots=shots)),
        )

    def test_it_is_an_accuracy_task(self, asked: Asked) -> None:
        """Its mode is of the task file, whose name is not that of the task."""
        assert [(mode.word, mode.task) for mode in asked.task.modes] == [("t", asked.spec.task)]


def test_code_that_nobody_named_is_not_imported(tmp_path):
    (tmp_path / "words.py").write_text("raise SystemExit('imported')")
    spec = RunSpec("fake", "w", name_of(str(tmp_path / "words.py")), "auto", "none")
    with pytest.raises(SpecError, match="add --trust-remote-code if you trust it"):
        load_task_file(spec.task)
    allow_code(spec)
    with pytest.raises(SystemExit, match="imported"):
        load_task_file(spec.task)
