"""Steps of a real vLLM that hang, run out of memory or are slow: what a run says and does."""

import signal
import tempfile
from pathlib import Path

import pytest
import step_faults
from run_processes import await_end, end, journal, read, run_command, run_directory, start
from test_vllm_processes import LOADED_S, await_answers, left, started, used_by_others

from modeltest.api import Request, TextPrompt
from modeltest.testing.engine_contract import complete

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

DELAY_S = 0.05
PREFILL_S = 0.2
NO_COMPILING = ("--engine-option", "compile=no")
PROMPTS = [
    TextPrompt("", ("Question: is 1 more than 2?\nAnswer: no\n\n",) * 4, f"Question: is {i} odd?\nAnswer:")
    for i in range(8)
]


@pytest.fixture
def folder():
    """Return a folder whose name is short enough for those of sockets in it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def suffering(tmp_path, folder):
    """Return the file that says what steps suffer, and the variables of a run that does."""
    faults = tmp_path / "faults.json"
    variables = step_faults.plugged(tmp_path / "plug_in", faults)
    return faults, {**variables, "TMPDIR": str(folder)}


def ended(process):
    """Return the exit status of a run and what it printed on its way."""
    _, told = process.communicate(timeout=LOADED_S)
    return process.returncode, told


def test_a_step_that_never_returns_is_ended_and_the_run_goes_on_from_the_journal(
    llama, tmp_path, folder, suffering
):
    faults, variables = suffering
    output = tmp_path / "runs"
    before = left(folder)
    step_faults.write(faults, prefill_s=PREFILL_S)  # so that the run does not end meanwhile
    asked = ["vllm_fp32", "sample_BoolQ", "2", "auto", str(llama), "1", "--batch-timeout", "10"]
    process = start(asked, output, env=variables)
    await_answers(process, output, 1)
    step_faults.write(faults, hang=True)
    running = started(process)
    while "reload 1 of 2" not in (line := process.stderr.readline()):
        assert line, "the run has ended"
    assert "no batch ended" in line
    await_end(running)
    answered = len(journal(run_directory(output)))
    assert end(process, signal.SIGINT) == 130
    assert list(folder.iterdir()) == []
    assert left(folder) - before - used_by_others() == set()

    directory = run_directory(output)
    run_command("--resume", str(directory), timeout=LOADED_S)
    asked = [line["sample"]["score"]["request_id"] for line in journal(directory)]
    assert answered < 24 == len(asked) == len(set(asked))
    result = read(directory)
    assert result["status"] == "complete"
    hung, interrupted = result["interruptions"]
    assert hung["reason_code"]["values"]["overdue"]["code"] == "no_batch_ended"
    assert interrupted["reason_code"]["code"] == "interrupted"


def test_delays_show_in_full_and_a_batch_that_finds_no_memory_is_told_as_that(
    llama, tmp_path, folder, suffering
):
    faults, variables = suffering
    step_faults.write(faults, prefill_s=PREFILL_S, step_s=DELAY_S, out_of_memory=4)
    output = tmp_path / "runs"
    asked = ["vllm_fp32", "performance", "[[16,6],[8,6]]", "[1,4]", "auto", str(llama), "1"]
    status, told = ended(start([*asked, *NO_COMPILING, "--min-trials", "2"], output, env=variables))
    assert status == 1, told
    directory = run_directory(output)
    assert read(directory)["interruptions"] == [], "the engine goes on, and answers as before"
    trials = [line["measurement"] for line in journal(directory)]
    assert {(each["batch_size"], each["out_of_memory"]) for each in trials} == {(1, False), (4, True)}
    assert all("can't allocate memory" in each["error"] for each in trials if each["out_of_memory"])
    cases = read(directory)["summary"]["cases"]
    assert [each["verdict"] == "INVALID" for each in cases] == [False, True] * 2
    for case in cases[::2]:
        assert case["metrics"]["ttft_ms"]["minimum"] >= 1e3 * PREFILL_S
        assert case["metrics"]["tpot_ms"]["minimum"] >= 1e3 * DELAY_S
    assert list(folder.iterdir()) == []


def test_the_largest_batch_is_the_last_that_found_memory(llama, tmp_path, folder, suffering):
    faults, variables = suffering
    step_faults.write(faults, out_of_memory=6)
    output = tmp_path / "runs"
    asked = ["vllm_fp32", "performance_maxbs", "[[16,4]]", "[[4,7]]", "100000", "auto", str(llama), "1"]
    status, told = ended(start([*asked, *NO_COMPILING], output, env=variables))
    assert status == 0, told
    directory = run_directory(output)
    (case,) = read(directory, "performance.json")["max_batch"]
    assert (case["max_batch"], case["status"]) == (5, "MEMORY_LIMITED")
    assert read(directory)["interruptions"] == []


def test_weights_that_find_no_memory_end_the_run_before_it_begins(llama, tmp_path, folder, suffering):
    faults, variables = suffering
    step_faults.write(faults, load=True)
    before = left(folder)
    asked = ["vllm_fp32", "sample_BoolQ", "2", "auto", str(llama), "1"]
    status, told = ended(start(asked, tmp_path / "runs", env=variables))
    assert status == 5
    assert f"error: out of memory: vLLM cannot load {llama}" in told
    assert "can't allocate memory" in told
    assert list(folder.iterdir()) == []
    assert left(folder) - before - used_by_others() == set()


def test_rows_that_find_no_memory_together_are_asked_again_with_the_same_answers(
    llama, start_vllm, monkeypatch
):
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    requests = [Request(str(i), prompt, choices=(" yes", " no")) for i, prompt in enumerate(PROMPTS)]
    loaded = start_vllm(llama, batch_sizes=((8,),))
    try:
        right = complete(loaded.engine, requests, batch_size=8)
        loaded.engine.begin(*loaded.asked)
        execute = GPUModelRunner.execute_model

        def short_of_memory(most):
            def executing(self, planned, *given, **named):
                if len(planned.num_scheduled_tokens) > most:
                    raise RuntimeError(step_faults.NO_MEMORY)
                return execute(self, planned, *given, **named)

            return executing

        monkeypatch.setattr(GPUModelRunner, "execute_model", short_of_memory(2))
        before = loaded.engine.usage().split_batches
        again = complete(loaded.engine, requests, batch_size=8)
        assert loaded.engine.usage().split_batches == before + 2, "of 8 rows, then of 4"
        for name, one in again.items():
            assert one.error is None
            assert one.choice_logprobs == pytest.approx(right[name].choice_logprobs, abs=1e-4)
        monkeypatch.setattr(GPUModelRunner, "execute_model", short_of_memory(0))
        for one in complete(loaded.engine, requests[:2], batch_size=2).values():
            assert "out of memory" in one.error
        monkeypatch.undo()
        assert complete(loaded.engine, requests[:1])["0"].error is None
    finally:
        loaded.engine.close()
