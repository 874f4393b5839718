"""Tasks of lm-evaluation-harness on vLLM, in process and served: the numbers are those of the engine `hf`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_engine import loaded_from
from tiny_tasks import TASKS, answers, write_tasks
from vllm_servers import VllmServer

from engines.hf.engine import HFEngine
from modeltest.api import Engine, EngineInfo, RunSpec
from modeltest.models.checkpoint import inspect_checkpoint

pytest.importorskip("lm_eval")

# What lm-eval and its packages warn of is theirs.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

NEAR = 2e-3
"""Two correct computations of a whole text in float32 are closer, in nats."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("lm_eval_tasks"))


def evaluated(engine: Engine, info: EngineInfo, spec: RunSpec, folder: Path) -> dict[str, Any]:
    """Return what lm-eval makes of the answers of a loaded engine, through ModelTest's bridge."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    from modeltest.lm_eval.bridge import EngineLM

    found: dict[str, Any] = simple_evaluate(
        model=EngineLM(engine, info, spec, tell=lambda *_: None),
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        batch_size=4,
    )
    return found


def spec_of(engine: str, weights: str) -> RunSpec:
    return RunSpec(engine, "lm_eval", "lm_eval", "auto", weights, dtype="float32", batch_sizes=((4,),))


@pytest.fixture(scope="module")
def right(folder: Path, trained_model: Callable[[str], Path]) -> Iterator[dict[str, Any]]:
    """What `hf` gives."""
    spec = spec_of("hf_fp32", str(trained_model("float32")))
    engine = HFEngine()
    info = engine.load(spec, inspect_checkpoint(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)  # it asks the machine for seconds
        yield evaluated(engine, info, spec, folder)
    engine.close()


def assert_equal(found: dict[str, Any], samples: dict[str, list[Any]], right: dict[str, Any]) -> None:
    for task in TASKS:
        expected = answers(right["samples"][task])
        assert len(samples[task]) == len(expected)
        for mine, theirs in zip(samples[task], expected, strict=True):
            assert mine == (theirs if isinstance(theirs, str) else pytest.approx(theirs, abs=NEAR))
        for name, value in right["results"][task].items():
            if "," in name and not isinstance(value, str):
                assert found[task][name] == pytest.approx(value, rel=NEAR), (task, name)


def test_numbers_of_the_engine_in_process_are_those_of_transformers(
    folder: Path,
    right: dict[str, Any],
    trained_model: Callable[[str], Path],
    vllm_python: Path,
    tmp_path: Path,
) -> None:
    files = [str(folder / f"{name.removeprefix('tiny_')}.yaml") for name in TASKS]
    words = ["lm-eval", "--tasks", ",".join(files), "--engine", "vllm_fp32", "--batch-size", "4"]
    words += ["--model", str(trained_model("float32")), "--log-samples", "--output", str(tmp_path)]
    command = [str(vllm_python), "-m", "modeltest", *words]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (directory,) = tmp_path.iterdir()
    result = json.loads((directory / "run.json").read_text())
    assert (result["status"], result["verdict"], result["adapter"]) == ("complete", "VALID", "vllm")
    results = json.loads((directory / "lm_eval_results.json").read_text())["results"]
    assert_equal(results, {task: said(directory, task) for task in TASKS}, right)


def said(directory: Path, task: str) -> list[Any]:
    """Return the answers that lm-eval has written down, where numbers are texts."""
    (file,) = directory.glob(f"samples_{task}_*.jsonl")
    samples = sorted(
        (json.loads(line) for line in file.read_text().splitlines()), key=lambda one: one["doc_id"]
    )
    written = [answer for sample in samples for (answer,) in sample["resps"]]
    if task == "tiny_choice":
        return [(float(logprob), is_greedy == "True") for logprob, is_greedy in written]
    return [float(logprob) for logprob in written] if task == "tiny_perplexity" else written


def test_numbers_of_a_served_model_are_those_of_transformers(
    folder: Path, right: dict[str, Any], vllm_server: VllmServer
) -> None:
    for loaded in loaded_from(vllm_server.url, tokenizer=str(vllm_server.checkpoint)):
        found = evaluated(loaded.engine, loaded.info, spec_of("openai", vllm_server.url), folder)
        mine = {task: answers(found["samples"][task]) for task in TASKS}
        assert_equal(found["results"], mine, right)
