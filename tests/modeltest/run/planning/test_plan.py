import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engines.fake import FakeEngine
from engines.hf.paged.continuous_batching import obstacle
from engines.mindie.fa import MindieFA
from engines.mindie.pa import MindiePA
from modeltest import registry
from modeltest.api import Capability, Case, PrerequisiteError, RunSpec, SpecError, TaskOptions
from modeltest.run.planning import plan as plans
from modeltest.run.planning.plan import plan, run_name
from modeltest.tasks.performance import Performance

SPEC = RunSpec(
    engine="fake", mode="performance", task="performance", model="llama", weights="none", batch_sizes=((1,),)
)


def test_a_plan_holds_what_was_chosen_and_checked():
    made = plan(replace(SPEC, cases=(Case(16, 4),)))
    assert (made.task.name, made.engine.name, made.model.key) == ("performance", "fake", "llama")


def test_a_world_size_of_zero_is_the_profile_s():
    assert plan(replace(SPEC, cases=(Case(16, 4),), world_size=0)).spec.world_size == 1


def test_an_engine_that_is_not_installed_is_named_with_those_that_are():
    with pytest.raises(
        PrerequisiteError,
        match=r"no engine for 'other' is installed; .* installed are fake, faulty, hf, hf_paged",
    ):
        plan(replace(SPEC, engine="other", cases=(Case(16, 4),)))


def test_a_task_that_is_not_there_yet_is_said_to_be():
    with pytest.raises(
        PrerequisiteError,
        match="the task 'humaneval' of mode 'full_HumanEval' is not available yet; available: accept, boolq",
    ):
        plan(replace(SPEC, task="humaneval", mode="full_HumanEval"))


def test_a_case_longer_than_the_context_is_refused_before_anything_is_loaded(demo_model):
    spec = replace(SPEC, engine="hf_fp32", dtype="float32", weights=str(demo_model("llama")))
    with pytest.raises(SpecError, match=r"case \[8000,500\] needs a context of 8500 tokens, .* has 8192"):
        plan(replace(spec, cases=(Case(16, 4), Case(8000, 500))))
    plan(replace(spec, cases=(Case(8000, 500),), max_position_embeddings=9000))


def test_more_shots_than_there_are_rows_are_refused_before_the_model_is_loaded(tmp_path):
    words = ["fake", "sample_MMLU", "6", "4", "llama", "none", "1"]
    command = [sys.executable, "-m", "modeltest", *words, "--output", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "loading model" not in done.stderr
    (directory,) = tmp_path.iterdir()
    assert json.loads((directory / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("engine", ["fake", "hf_fp32"])
@pytest.mark.parametrize(
    "options", [TaskOptions(prefill_batch_size=4), TaskOptions(prefill_length=64)], ids=["batch", "length"]
)
def test_prefill_words_are_refused_where_nothing_honours_them_before_the_checkpoint_is_read(engine, options):
    spec = replace(SPEC, engine=engine, weights="no/such/weights", cases=(Case(16, 4),), options=options)
    with pytest.raises(
        PrerequisiteError, match="cannot honour a prefill batch size or prefill_length: these"
    ):
        plan(spec)


class Quantizing(FakeEngine):
    """Stands in for an engine that reads checkpoints and runs quantised ones."""

    name = "quantizing"
    needs_weights = True


@pytest.fixture
def quantized(tmp_path):
    header = json.dumps({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\1")
    config = {"model_type": "llama", "torch_dtype": "float16", "quantize": "w8a8", "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return replace(
        SPEC, engine="pa_fp16", dtype="float16", weights=str(tmp_path), cases=(Case(16, 4),), model="auto"
    )


def test_quantised_weights_are_refused_where_no_engine_can_run_them(quantized, monkeypatch):
    monkeypatch.setattr(plans, "engines_of", lambda *_, **__: ("hf",))
    with pytest.raises(
        PrerequisiteError, match=r"is w8a8, which engine 'hf' cannot run; the words pa_fp16, "
    ):
        plan(quantized)


def test_quantised_weights_go_to_the_engine_that_can_run_them(quantized, monkeypatch):
    load = registry.load_engine
    monkeypatch.setattr(plans, "engines_of", lambda *_, **__: ("hf", "fake"))
    monkeypatch.setattr(registry, "load_engine", lambda name: Quantizing() if name == "fake" else load(name))
    made = plan(quantized)
    assert made.engine.name == "quantizing"
    assert run_name(made) == "performance_llama_2l_fp16_w8a8_quantizing"
    config = Path(quantized.weights) / "config.json"
    config.write_text(config.read_text().replace('"quantize": "w8a8", ', ""))
    made = plan(quantized)
    assert (made.engine.name, run_name(made)) == ("hf", "performance_llama_2l_hf")


def test_the_runner_of_mindie_takes_the_prefill_words_and_its_other_one_does_not():
    wanted = Performance().requires(replace(SPEC, options=TaskOptions(prefill_batch_size=4)))
    assert not wanted - MindiePA.capabilities
    assert Capability.PREFILL_LIMITS in wanted - MindieFA.capabilities


def _paged_word(demo_model, **changes):
    spec = replace(SPEC, engine="pa_fp16", dtype="float16", allow_dtype_cast=True, cases=(Case(16, 4),))
    return replace(spec, weights=str(demo_model("llama")), **changes)


@pytest.mark.skipif(obstacle() is not None, reason=f"hf_paged: {obstacle()}")
def test_the_first_adapter_that_can_serve_is_chosen(demo_model, monkeypatch):
    monkeypatch.setattr("engines.vllm.engine.obstacle", lambda _: "it is Monday")
    made = plan(_paged_word(demo_model))
    assert (made.engine.name, list(made.passed_over)) == ("hf_paged", ["mindie_pa", "vllm"])
    assert made.passed_over["vllm"] == "it is Monday"


def test_an_adapter_that_cannot_serve_is_passed_over_with_its_reason(demo_model, monkeypatch):
    monkeypatch.setattr("engines.hf.paged.engine.obstacle", lambda: "it is Sunday")
    made = plan(_paged_word(demo_model))
    assert made.engine.name == "hf"
    assert "it is Sunday" in made.passed_over["hf_paged"]


def test_when_none_can_serve_the_last_one_says_why(demo_model):
    with pytest.raises(PrerequisiteError, match="engine hf does not take encryption words"):
        plan(_paged_word(demo_model, kw_args='{"encrypt_enable": 1}'))


def test_adapters_are_refused_by_an_engine_that_has_none(demo_model):
    with pytest.raises(
        PrerequisiteError, match=r"'hf\w*' does not take the word lora; leave it out, or use pa_"
    ):
        plan(_paged_word(demo_model, lora="adapters.jsonl"))


def test_what_is_wrong_as_written_is_no_reason_to_look_further(demo_model):
    with pytest.raises(SpecError, match=r"has no options; given: a"):
        plan(_paged_word(demo_model, engine_options={"a": "b"}))


def test_a_passed_over_adapter_is_told_and_recorded(demo_model, tmp_path):
    """Remote code that keeps its attention to itself is run by `hf`, in words that ask for a paged cache."""
    weights = tmp_path / "weights"
    shutil.copytree(demo_model("internlm2"), weights)
    code = weights / "modeling_internlm2.py"
    imported = "from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS"
    hidden = "from transformers import modeling_utils as m\nOWN = getattr(m, 'ALL_ATTENTION' + '_FUNCTIONS')"
    source = code.read_text().replace(imported, hidden)
    code.write_text(source.replace("ALL_ATTENTION_FUNCTIONS", "OWN"))
    words = [
        "pa_bf16",
        "performance",
        "[[8,2]]",
        "1",
        "auto",
        str(weights),
        "trust_remote_code",
        "1",
        "--allow-dtype-cast",
    ]
    command = [sys.executable, "-m", "modeltest", *words, "--output", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert "pa_bf16: engine hf, run directory" in done.stderr, done.stderr
    assert "not with hf_paged: engine hf_paged cannot run" in done.stderr
    (directory,) = (tmp_path / "out").iterdir()
    result = json.loads((directory / "run.json").read_text())
    assert result["adapter"] == "hf"
    assert "an attention of its own" in result["passed_over"]["hf_paged"]


class Absent(FakeEngine):
    """Stands in for an engine that this machine cannot run."""

    name = "absent"

    def obstacle(self, spec=None):
        return None if spec is not None and spec.seed else "there is no such chip"


class Speechless(FakeEngine):
    """Stands in for an engine that is here and tells no times."""

    name = "speechless"
    capabilities = frozenset()


@pytest.fixture
def two_engines(monkeypatch):
    def serve(first):
        load = registry.load_engine
        monkeypatch.setattr(plans, "engines_of", lambda *_, **__: ("hf", "fake"))
        monkeypatch.setattr(registry, "load_engine", lambda name: first() if name == "hf" else load(name))
        return replace(SPEC, engine="any", cases=(Case(16, 4),))

    return serve


def test_an_engine_with_an_obstacle_is_passed_over_with_its_reason(two_engines):
    spec = two_engines(Absent)
    made = plan(spec)
    assert (made.engine.name, made.passed_over) == ("fake", {"hf": "there is no such chip"})
    made = plan(replace(spec, seed=1))
    assert (made.engine.name, made.passed_over) == ("absent", {})


def test_an_engine_that_lacks_what_the_task_needs_is_not_replaced(two_engines):
    with pytest.raises(PrerequisiteError, match="engine 'speechless' cannot run performance: it lacks"):
        plan(two_engines(Speechless))


def test_mindie_is_passed_over_where_it_is_not_and_the_reason_is_told(demo_model, monkeypatch):
    monkeypatch.delenv("ATB_SPEED_HOME_PATH", raising=False)
    spec = replace(SPEC, engine="fa", weights=str(demo_model("llama")), cases=(Case(16, 4),))
    made = plan(spec)
    assert made.engine.name == "hf"
    assert made.passed_over == {"mindie_fa": "no MindIE: ATB_SPEED_HOME_PATH is not set"}


def test_when_the_last_adapter_cannot_serve_either_what_the_others_lacked_is_said_too(demo_model):
    spec = RunSpec(
        *("fa", "full_MMLU", "mmlu", "llama", str(demo_model("llama", "float16"))),
        batch_sizes=((1,),),
        world_size=2,
        engine_options={"stand_in": "yes"},
    )
    with pytest.raises(
        SpecError, match=r"engine hf has no options.*\(not with mindie_fa: .* runs as one rank"
    ):
        plan(spec)


def test_what_would_serve_is_named_where_nothing_here_does(demo_model, monkeypatch, tmp_path):
    monkeypatch.delenv("ATB_SPEED_HOME_PATH", raising=False)
    shutil.copytree(demo_model("llama", "float16"), tmp_path / "w")
    (tmp_path / "w" / "quant_model_description.json").write_text('{"model_quant_type": "W8A8"}')
    spec = RunSpec(*("pa_fp16", "full_MMLU", "mmlu", "llama", str(tmp_path / "w")), batch_sizes=((1,),))
    with pytest.raises(
        PrerequisiteError, match=r"\(not with mindie_pa: no MindIE: ATB_SPEED_HOME_PATH is not"
    ):
        plan(spec)
