import signal
import subprocess
import time

import pytest
from click.testing import CliRunner
from made_packs import made_pack
from run_processes import COMMAND

from modeltest.api import SpecError
from modeltest.cli.root import root
from modeltest.packs.files import write_pack

BOOLQ = (
    "--task",
    "boolq",
    "--split",
    "sample",
    "--protocol",
    "lm-eval",
    "--model",
    "none",
    "--engine",
    "fake",
)


@pytest.fixture
def path(tmp_path):
    write_pack(tmp_path / "tiny.ref", made_pack())
    return tmp_path / "tiny.ref"


def said(*words):
    done = CliRunner().invoke(
        root, ["reference", *map(str, words)], standalone_mode=False, catch_exceptions=False
    )
    assert not done.return_value
    return done.output


def test_show_tells_what_a_pack_is_of_and_how_far_twins_are(path):
    output = said("show", path)
    for words in ("tiny (llama)", "mmlu", "gsm8k", "bf16-batch-1", "attention_scale:1.02", "0.01"):
        assert words in output
    assert "3, 9 tokens told" in output


def test_verify_says_that_a_pack_is_sound(path):
    assert f"{path} is sound: 8 questions, 3 texts, 0 prompts as text, 3 computations; sha256 " in said(
        "verify", path
    )


def test_show_tells_directions_by_their_fault_in_a_table_of_their_own(path):
    lines = said("show", path).splitlines()
    header = next(number for number, line in enumerate(lines) if line.split()[:1] == ["direction"])
    assert any(line.split()[:2] == ["attention_scale:1.02", "bfloat16"] for line in lines[header:])
    assert not any("attention_scale" in line for line in lines[:header])


def test_show_has_no_table_of_directions_for_a_pack_without(tmp_path):
    write_pack(tmp_path / "none.ref", made_pack(twins={}))
    assert "direction" not in said("show", tmp_path / "none.ref")


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_damaged_pack_is_refused(path, command):
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpecError, match=r"tiny\.ref is no reference pack that can be used"):
        said(command, path)


def test_make_writes_the_pack_and_shows_it(tmp_path):
    out = tmp_path / "x.ref"
    output = said("make", *BOOLQ, "--texts", "2", "--twin-batch-size", "4", "--out", out)
    assert "bf16-batch-4" in output
    assert str(out) in output
    assert "24 questions, 2 texts, 24 prompts as text, 2 computations" in said("verify", out)


def test_a_signal_stops_it_and_the_same_command_goes_on(tmp_path):
    out, work = tmp_path / "x.ref", tmp_path / "x.ref.work"
    slow = ("--engine-option", "sleep=yes", "--engine-option", "prefill_ms_per_token=0.3")
    how = ("--batch-size", "1", "--texts", "2", "--twin-batch-size", "4", "--out", str(out))
    words = [*COMMAND, "reference", "make", *BOOLQ, *slow, *how]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal = work / "reference-boolq" / "samples.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or not journal.read_bytes().count(b"\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped; the same command goes on with the runs in {work}" in error
    assert not out.exists()
    answered = journal.read_bytes()
    again = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert journal.read_bytes().startswith(answered)
    assert "24 questions, 2 texts, 24 prompts as text, 2 computations" in said("verify", out)
