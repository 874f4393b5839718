"""Prompts from files and datasets, and whole runs with them on the fake engine and on a tiny model."""

import csv
import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engines.common.tokenizing import ByteTokenizer
from engines.fake import FakeEngine
from modeltest.api import (
    Case,
    ChatPrompt,
    DatasetError,
    PrerequisiteError,
    PromptSource,
    RunSpec,
    SpecError,
    TaskOptions,
    TextPrompt,
    TokenPrompt,
    Turn,
)
from modeltest.run.planning.prompts import ReadPrompts, check_prompts, read_prompts, with_prompts
from modeltest.tasks.boolq import BoolQ
from modeltest.tasks.performance import Performance
from modeltest.tasks.performance_maxbs import PerformanceMaxBatch
from modeltest.tasks.performance_single import PerformanceSingle

GSM8K = [
    {"question": f"A shop has {n} red and {n + 2} blue caps. How many?", "answer": f"#### {2 * n + 2}"}
    for n in range(9)
]
HUMANEVAL = [
    {
        "task_id": f"HumanEval/{n}",
        "prompt": f'def add_{n}(x: int) -> int:\n    """Add {n} to x."""\n',
        "entry_point": f"add_{n}",
        "canonical_solution": f"    return x + {n}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n",
    }
    for n in range(4)
]
BOOLQ = [
    {
        "question": f"is {n} a number",
        "title": "Number",
        "answer": True,
        "passage": f"Numbers such as {n} count.",
    }
    for n in range(8)
]


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a data directory with a few rows of our own of every dataset."""
    root = tmp_path / "data"
    write_jsonl(root / "gsm8k" / "test.jsonl", GSM8K)
    write_jsonl(root / "boolq" / "dev.jsonl", BOOLQ)
    write_jsonl(
        root / "customize" / "customize.jsonl", [{"question": f"Say {n}.", "id": n} for n in range(5)]
    )
    (root / "humaneval").mkdir()
    packed = "".join(json.dumps(row) + "\n" for row in HUMANEVAL).encode()
    (root / "humaneval" / "HumanEval.jsonl.gz").write_bytes(gzip.compress(packed))
    return root


def spec_of(data_dir: Path | None = None, *, chat: bool = False, **options) -> RunSpec:
    return RunSpec(
        *("fake", "performance", "performance", "auto", "none"),
        options=TaskOptions(**options),
        cases=(Case(8, 4),),
        batch_sizes=((2,),),
        chat=chat,
        data_dir=None if data_dir is None else str(data_dir),
    )


def dataset_prompts(name: str, data_dir: Path, **more) -> ReadPrompts:
    read = read_prompts(spec_of(data_dir, prompt_source=PromptSource(name), **more), Performance())
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("name", "first", "rows"),
    [
        ("gsm8k", GSM8K[0]["question"], 9),
        ("humaneval", HUMANEVAL[0]["prompt"], 4),
        ("customize", "Say 0.", 5),
        ("boolq", "Number -- Numbers such as 0 count.\nQuestion: is 0 a number?\nAnswer:", 8),
    ],
)
def test_prompts_of_a_dataset_are_its_questions_as_they_are_asked(data_dir, name, first, rows):
    read = dataset_prompts(name, data_dir)
    assert next(prompt.text for prompt in read.prompts) == first
    assert len(read.prompts) == read.dataset.records == rows
    assert (read.dataset.name, read.dataset.official) == (name, False)


def test_a_dataset_with_an_accuracy_task_is_asked_in_its_words(data_dir, shared_data):
    read = dataset_prompts("ceval", shared_data)
    first = next(iter(read.prompts)).text
    assert first.startswith("\n以下是中国关于")
    assert first.endswith("让我们一步一步思考。答案: ")
    assert read.dataset.official


@pytest.mark.parametrize(("name", "rows"), [("boolq", 3270), ("gsm8k", 1319), ("humaneval", 164)])
def test_the_real_datasets_give_all_their_rows(shared_data, name, rows):
    read = dataset_prompts(name, shared_data)
    assert (len(read.prompts), read.dataset.official) == (rows, True)
    assert all(prompt.text.strip() for prompt in read.prompts)


def test_a_chat_lays_every_prompt_out_as_a_turn(data_dir):
    for name in ("gsm8k", "boolq"):
        (first, *_) = dataset_prompts(name, data_dir, chat=True).prompts
        assert isinstance(first, ChatPrompt)
        assert first.question[-1].role == "user"


def test_shots_of_the_spec_are_not_asked(data_dir):
    read = dataset_prompts("boolq", data_dir, shots=3)
    assert all(not prompt.shots for prompt in read.prompts)


@pytest.mark.parametrize("name", ["gsm8k", "humaneval", "boolq"])
def test_an_absent_dataset_says_how_to_get_it(tmp_path, name):
    with pytest.raises(DatasetError, match=f"modeltest data fetch {name}"):
        dataset_prompts(name, tmp_path)


def test_absent_own_prompts_say_where_and_how_to_write_them(tmp_path):
    with pytest.raises(DatasetError, match=r'customize/customize.jsonl; write them there.*\{"question"'):
        dataset_prompts("customize", tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "x"}', "line 1: no question; expected the columns question"),
        ('{"question": 7}', "line 1: question is 7; expected text"),
        ('{"question": " "}', "the question of row 1 is empty"),
        ("hello", "line 1: not JSON"),
        ("", "no rows"),
    ],
)
def test_own_prompts_that_are_none_are_refused_with_their_line(tmp_path, line, message):
    write_jsonl(tmp_path / "customize" / "customize.jsonl", [])
    (tmp_path / "customize" / "customize.jsonl").write_text(line + "\n")
    with pytest.raises(DatasetError, match=message):
        dataset_prompts("customize", tmp_path)


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("[5,6]", [TokenPrompt((5, 6))]),
        ("[[5],[6,7]]", [TokenPrompt((5,)), TokenPrompt((6, 7))]),
        ('["hello"]', [TextPrompt("", (), "hello")]),
    ],
)
def test_a_list_and_a_file_that_holds_it_give_the_same_prompts(tmp_path, text, prompts):
    (tmp_path / "prompts.txt").write_text(f"\n{text}\n")
    for given in (text, str(tmp_path / "prompts.txt")):
        assert list(read_prompts(spec_of(prompt_input=given), PerformanceSingle()).prompts) == prompts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file .*prompts.txt is empty"),
        (b"\n", "the file .*prompts.txt is empty"),
        (b"1,2,x", "the file .*prompts.txt is not a list"),
        (b"\xff\xfe", "the file .*prompts.txt is not UTF-8"),
        (b"[1,-1]", "the file .*prompts.txt: element 1 is -1"),
    ],
)
def test_a_file_without_prompts_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(SpecError, match=message):
        read_prompts(spec_of(prompt_input=str(tmp_path / "prompts.txt")), PerformanceSingle())


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_says_what_may_stand_there(tmp_path, name):
    with pytest.raises(SpecError, match=r"cannot be read from .*; give a list such as \[1,2,3\]"):
        read_prompts(spec_of(prompt_input=str(tmp_path / name)), PerformanceSingle())


class NoTokenizer:
    name = "plain"


def test_texts_need_an_engine_with_a_tokenizer():
    for options in ({"prompt_input": '["hello"]'}, {"prompt_source": PromptSource("boolq")}):
        with pytest.raises(PrerequisiteError, match="engine 'plain' has no tokenizer"):
            check_prompts(spec_of(**options), PerformanceSingle(), NoTokenizer())
    check_prompts(spec_of(prompt_input="[1,2]"), PerformanceSingle(), NoTokenizer())


def test_what_does_not_suit_the_cases_is_refused_before_anything_is_loaded():
    with pytest.raises(SpecError, match="a prompt has 9 tokens"):
        check_prompts(spec_of(prompt_input="[1,2,3,4,5,6,7,8,9]"), PerformanceSingle(), FakeEngine())
    with pytest.raises(SpecError, match="3 prompts do not fit into a batch of 2"):
        check_prompts(spec_of(prompt_input='["a","b","c"]'), PerformanceSingle(), FakeEngine())


def test_a_task_that_makes_its_own_prompts_reads_none():
    assert read_prompts(spec_of(), Performance()) is None
    assert read_prompts(spec_of(prompt_input="[1]"), PerformanceMaxBatch()) is None
    task = Performance()
    assert with_prompts(task, None, FakeEngine()) is task


class Handed(Performance):
    def with_prompts(self, prompts):
        self.handed = tuple(prompts)
        return self


def test_texts_and_turns_are_tokenized_and_token_ids_stay():
    engine, task = FakeEngine(), Handed()
    chat = ChatPrompt((), (), (Turn("user", "hi"),))
    with_prompts(task, ReadPrompts([TokenPrompt((3, 4)), TextPrompt("", (), "hé"), chat]), engine)
    assert task.handed == (TokenPrompt((3, 4)), TokenPrompt(tuple("hé".encode())), TokenPrompt((104, 105)))


def test_a_prompt_without_tokens_is_refused(monkeypatch):
    monkeypatch.setattr(ByteTokenizer, "encode", lambda *_, **__: ())
    with pytest.raises(SpecError, match="prompt 0 has no tokens"):
        with_prompts(Performance(), ReadPrompts([TextPrompt("", (), "x")]), FakeEngine())


def test_the_boolq_prompts_are_those_of_the_accuracy_task(data_dir):
    from modeltest.data.load import load_dataset

    data = load_dataset("boolq", "full", data_dir=str(data_dir)).data
    asked = [request.prompt for request in BoolQ().requests(data, replace(spec_of(), task="boolq"))]
    assert list(dataset_prompts("boolq", data_dir).prompts) == asked


# Whole runs.


def run(*words: str, output: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeltest", *words, "--output", str(output)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stderr
    return done


def read(output: Path, name: str) -> dict:
    (directory,) = output.iterdir()
    return json.loads((directory / name).read_text(encoding="utf-8"))


def journal(output: Path) -> list[dict]:
    (directory,) = output.iterdir()
    lines = (directory / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["measurement"] for line in lines]


def test_a_dataset_run_reports_rows_lengths_and_source(tmp_path, data_dir):
    words = ["fake", "performance", "[[60,4]]", "2", "dataset", "boolq", "llama", "none", "1"]
    done = run(*words, "--data-dir", str(data_dir), output=tmp_path / "out")
    content = read(tmp_path / "out", "performance.json")
    assert content["prompts"]["source"] == "dataset"
    assert content["prompts"]["dataset"]["name"] == "boolq"
    assert (content["prompts"]["padding"], content["prompts"]["batch_group"]) == (False, 1)
    (case,) = content["cases"]
    assert case["prompts"]["longest"] == 60
    assert case["prompts"]["available"] == 8
    assert any("asked again" in note for note in case["prompts"]["notes"])
    assert "asked again" in done.stdout
    assert all(len(line["prompts"]["lengths"]) == 2 for line in journal(tmp_path / "out"))


def test_a_padded_run_has_exactly_the_length_of_the_case(tmp_path, data_dir):
    words = [
        "fake",
        "performance",
        "[[500,4]]",
        "2",
        "dataset",
        "gsm8k",
        "padding",
        "INF",
        "llama",
        "none",
        "1",
    ]
    run(*words, "--data-dir", str(data_dir), output=tmp_path / "out")
    (case,) = read(tmp_path / "out", "performance.json")["cases"]
    assert (case["prompts"]["shortest"], case["prompts"]["longest"]) == (500, 500)
    measured = [line for line in journal(tmp_path / "out") if line["phase"] == "measure"]
    assert len({line["inputs_sha256"] for line in measured}) >= 5


def test_two_runs_of_one_seed_submit_the_same(tmp_path, data_dir):
    words = ["fake", "performance", "[[60,4]]", "2", "dataset", "gsm8k", "llama", "none", "1"]
    digests = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        run(*words, "--data-dir", str(data_dir), "--seed", seed, output=tmp_path / name)
        digests.append([line["inputs_sha256"] for line in journal(tmp_path / name)])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["performance", "[[8,4]]", "1", "dataset", "gsm8k"], 4, "dataset 'gsm8k' is not in"),
        (["performance", "[[8,4]]", "2", "4"], 3, "cannot honour a prefill batch size or prefill_length"),
        (
            ["performance", "[[8,4]]", "2", "prefill_length", "64"],
            3,
            "these words are for the runner of MindIE",
        ),
        (["performance_single", "[[8,4]]", "[1,256]", "1"], 2, "token id 256 of prompt 0 is outside"),
        (["performance_single", "[[2,4]]", "[1,2,3]", "1"], 2, "a prompt has 3 tokens, case [2,4]"),
        (
            ["precision_single", "[[8,4]]", "no_such_file", "1"],
            2,
            "the prompts cannot be read from no_such_file",
        ),
        (["precision_single", "[[8,4]]", "[1,-1]", "1"], 2, "element 1 is -1"),
    ],
)
def test_what_cannot_be_run_ends_with_its_status_and_one_sentence(tmp_path, words, status, message):
    data = ["--data-dir", str(tmp_path / "none")]
    done = run("fake", *words, "llama", "none", "1", *data, output=tmp_path / "out", expect=status)
    assert message in done.stderr.splitlines()[-1]
    assert "loading model" not in done.stderr or "256" in message


def test_a_precision_run_writes_tokens_and_text(tmp_path):
    words = ["fake", "precision_single", "[[8,4]]", '["hello","you"]', "[2,5]", "llama", "none", "1"]
    done = run(*words, output=tmp_path)
    content = read(tmp_path, "precision.json")
    assert (content["verdict"], content["prompts"]["source"]) == ("VALID", "given")
    assert [(each["batch_size"], each["prompt"], each["rows"]) for each in content["outputs"]] == [
        (2, 0, 1),
        (2, 1, 1),
        (5, 0, 3),
        (5, 1, 2),
    ]
    first = content["outputs"][0]
    assert first["prompt_token_ids"] == list(b"hello")
    assert bytes(first["output_token_ids"]).decode() == first["text"]
    assert first["text"] in done.stdout
    (directory,) = tmp_path.iterdir()
    assert not (directory / "token_latency.csv").exists()
    assert all(not row["token_times_ns"] for row in journal(tmp_path)[0]["completions"])


def test_a_single_run_writes_the_files_of_performance(tmp_path):
    words = ["fake", "performance_single", "[[8,4]]", "[1,2,3]", "2", "llama", "none", "1"]
    run(*words, output=tmp_path)
    content = read(tmp_path, "performance.json")
    assert content["prompts"]["source"] == "given"
    assert content["cases"][0]["prompts"]["longest"] == 3
    (directory,) = tmp_path.iterdir()
    with (directory / "performance_fa_batch2_tp1_result.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1


def test_a_tiny_model_says_the_same_in_every_row_and_batch_size(tmp_path, demo_model):
    model = str(demo_model("llama"))
    words = ["hf_fp32", "precision_single", "[[64,12]]", '["The sea is salt."]', "[1,3]", "llama", model, "1"]
    run(*words, output=tmp_path)
    one, three = read(tmp_path, "precision.json")["outputs"]
    assert one["output_token_ids"] == three["output_token_ids"]
    assert len(one["output_token_ids"]) == 12
    assert one["text"]
    assert one["verdict"] == three["verdict"] == "VALID"


def test_a_tiny_model_is_timed_on_rows_of_unequal_length(tmp_path, demo_model, data_dir):
    model = str(demo_model("llama"))
    words = ["hf_fp32", "performance", "[[40,4]]", "3", "dataset", "gsm8k", "llama", model, "1", "--quick"]
    run(*words, "--data-dir", str(data_dir), output=tmp_path / "out")
    (case,) = read(tmp_path / "out", "performance.json")["cases"]
    assert case["prompts"]["shortest"] <= case["prompts"]["longest"] <= 40
    assert case["metrics"]["tpot_ms"]["median"] > 0


def test_a_tiny_model_gives_the_log_probability_of_what_it_says(tmp_path, demo_model):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    path = str(demo_model("llama"))
    words = ["--engine", "hf_fp32", "--profile", "llama", "--model", path, "--case", "64,12"]
    run("precision", *words, "--prompts", '["The sea is salt."]', "--logprobs", output=tmp_path)
    (output,) = read(tmp_path, "precision.json")["outputs"]
    ids = torch.tensor([output["prompt_token_ids"] + output["output_token_ids"]])
    model = AutoModelForCausalLM.from_pretrained(path)
    with torch.inference_mode():
        logprobs = model(ids).logits[0].float().log_softmax(-1)
    begin = len(output["prompt_token_ids"])
    expected = [float(logprobs[place - 1, ids[0, place]]) for place in range(begin, begin + 12)]
    assert output["output_logprobs"] == pytest.approx(expected, abs=1e-4)


def test_a_lost_worker_is_replaced_and_goes_on_with_the_same_rows(tmp_path, data_dir):
    words = ["fake", "performance", "[[60,4]]", "2", "dataset", "gsm8k", "llama", "none", "1"]
    run(*words, "--data-dir", str(data_dir), output=tmp_path / "whole")
    crash = ["--engine-option", "crash_after=5"]
    run(*words, "--data-dir", str(data_dir), *crash, output=tmp_path / "lost")
    assert len(read(tmp_path / "lost", "run.json")["interruptions"]) >= 1
    whole, lost = (
        [(line["trial"], line["inputs_sha256"]) for line in journal(tmp_path / name)]
        for name in ("whole", "lost")
    )
    assert lost == whole


def test_a_run_does_not_go_on_with_prompts_that_were_changed_meanwhile(tmp_path, data_dir):
    words = ["fake", "performance", "[[60,4]]", "2", "dataset", "customize", "llama", "none", "1"]
    run(*words, "--data-dir", str(data_dir), output=tmp_path / "out")
    (directory,) = (tmp_path / "out").iterdir()
    lines = (directory / "samples.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (directory / "samples.jsonl").write_text("".join(lines[:3]), encoding="utf-8")
    result = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    (directory / "run.json").write_text(json.dumps({**result, "status": "partial"}), encoding="utf-8")
    rows = [{"question": f"Ask {n}."} for n in range(5)]
    write_jsonl(data_dir / "customize" / "customize.jsonl", rows)
    command = [sys.executable, "-m", "modeltest", "run", "--resume", str(directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "sha256" in done.stderr
