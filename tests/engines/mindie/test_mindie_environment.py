import os
import shutil
import socket
from dataclasses import replace

import pytest

from engines.mindie.environment import (
    STAND_IN_HOME,
    MindieOptions,
    check_mindie,
    environment,
    file_environment,
    recorded,
    why_no_mindie,
)
from engines.mindie.pa import MindiePA
from modeltest.api import Case, Cluster, Parallel, PrerequisiteError, RunSpec, SpecError, TaskOptions
from modeltest.machine.interfaces import LOOPBACK_INTERFACE
from modeltest.machine.ports import free_port
from modeltest.models.checkpoint import inspect_checkpoint


@pytest.fixture(autouse=True)
def _no_mindie(monkeypatch):
    for name in (
        "ATB_SPEED_HOME_PATH",
        "USE_ASCEND",
        "MASTER_PORT",
        "PYTHONPATH",
        "ASCEND_RT_VISIBLE_DEVICES",
        "MINDIE_CHECK_INPUTFILES_PERMISSION",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def spec(demo_model, tmp_path):
    return RunSpec(
        engine="pa_fp16",
        mode="full_BoolQ",
        task="boolq",
        model="llama",
        weights=str(demo_model("llama", "float16")),
        dtype="float16",
        batch_sizes=((8,),),
        output_dir=str(tmp_path),
        engine_options={"stand_in": "yes"},
    )


@pytest.fixture
def model(spec):
    return inspect_checkpoint(spec)


def _home(tmp_path):
    (tmp_path / "home" / "examples").mkdir(parents=True)
    (tmp_path / "home" / "examples" / "run_pa.py").touch()
    return tmp_path / "home"


def test_mindie_is_used_where_its_home_is_known(tmp_path, monkeypatch):
    assert why_no_mindie(None, "run_pa") == "no MindIE: ATB_SPEED_HOME_PATH is not set"
    monkeypatch.setenv("ATB_SPEED_HOME_PATH", str(_home(tmp_path)))
    assert why_no_mindie(None, "run_pa") is None
    assert "has no examples/run_fa.py" in why_no_mindie(None, "run_fa")


def test_use_ascend_0_and_another_device_leave_mindie_alone(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("ATB_SPEED_HOME_PATH", str(_home(tmp_path)))
    assert why_no_mindie(replace(spec, device="cpu"), "run_pa") == "device cpu is demanded"
    assert why_no_mindie(replace(spec, device="npu"), "run_pa") is None
    monkeypatch.setenv("USE_ASCEND", "0")
    assert why_no_mindie(spec, "run_pa") == "USE_ASCEND is 0"


def test_the_stand_in_needs_no_home_but_its_switch(spec):
    assert why_no_mindie(spec, "run_pa") is None
    assert why_no_mindie(replace(spec, engine_options={}), "run_pa") is not None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fast": "yes"}, "has no option 'fast'; available: stand_in, record, keep"),
        ({"stand_in": "true"}, "must be yes or no"),
        ({"record": "ids+times+speed"}, "'speed' is none of times, ids, logits"),
    ],
)
def test_unknown_options_are_refused(spec, options, reason):
    with pytest.raises(SpecError, match=reason):
        MindieOptions.parse(replace(spec, engine_options=options))


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"device": "npu"}, SpecError, "the stand-in for MindIE runs on the cpu"),
        (
            {"cluster": Cluster("/a b/t.json", 2, 0, "10.0.0.1")},
            SpecError,
            "the rank table '/a b/t.json' conta",
        ),
        ({"dtype": "bfloat16"}, SpecError, "dtype is float16; MindIE cannot cast it to bfloat16"),
        ({"output_dir": "/tmp/a b+c"}, SpecError, r"the output directory '/tmp/a b\+c' contains ' ' '\+'"),
    ],
)
def test_what_mindie_would_refuse_later_is_refused_at_once(spec, model, changes, kind, reason):
    check_mindie(spec, model, "run_pa")
    with pytest.raises(kind, match=reason):
        check_mindie(replace(spec, **changes), model, "run_pa")


def test_a_rank_table_that_others_may_change_is_refused(spec, model, tmp_path):
    path = tmp_path / "t.json"
    path.touch(0o640)
    several = replace(spec, cluster=Cluster(str(path), 2, 0, "10.0.0.1"))
    check_mindie(several, model, "run_pa")
    path.chmod(0o646)
    with pytest.raises(SpecError, match=rf"every user may write to the rank table {path}.*chmod 640"):
        check_mindie(several, model, "run_pa")


def test_a_checkpoint_of_another_dtype_is_refused(spec, demo_model):
    wide = replace(spec, weights=str(demo_model("llama")), dtype=None)
    with pytest.raises(SpecError, match="dtype is float32, MindIE loads float16 and bfloat16 only"):
        check_mindie(wide, inspect_checkpoint(wide), "run_pa")


def test_a_dtype_that_only_newer_transformers_know_is_refused(spec, model, tmp_path):
    (tmp_path / "config.json").write_text('{"dtype": "float16"}')
    with pytest.raises(SpecError, match='add "torch_dtype": "float16"'):
        check_mindie(spec, replace(model, path=str(tmp_path)), "run_pa")


def test_everything_mindie_reads_at_import_is_set_by_name(spec, model, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = {**environment(spec, model), **file_environment(spec, tmp_path)}
    assert variables["ATB_SPEED_HOME_PATH"] == str(STAND_IN_HOME)
    assert variables["PYTHONPATH"] == f"{STAND_IN_HOME}{os.pathsep}/elsewhere"
    assert variables["MODELTEST_PD_SPLIT_ENABLE"] == "0"
    assert variables["HCCL_DETERMINISTIC"] == "true"
    assert variables["INF_NAN_MODE_ENABLE"] == "0", "of the profile"
    assert variables["ATB_LLM_LOGITS_SAVE_ENABLE"] == "1"
    assert variables["ATB_LLM_BENCHMARK_ENABLE"] == "0"
    assert variables["PROFILING_FILEPATH"] == f"{tmp_path}/profiling"
    assert 20000 <= int(variables["MASTER_PORT"]) <= 20050


def test_a_timed_run_saves_nothing_in_its_steps(spec, model, tmp_path):
    timed = replace(spec, cases=(Case(16, 4),))
    variables = {**environment(timed, model), **file_environment(timed, tmp_path)}
    assert variables["MODELTEST_DATASET_SPECIFIED"] == ""
    assert recorded(variables) == {"times"}
    assert "HCCL_DETERMINISTIC" not in variables


def test_what_is_recorded_is_what_was_asked_for(spec, tmp_path):
    everything = replace(spec, engine_options={"record": "times+ids+logits"})
    assert recorded(file_environment(everything, tmp_path)) == {"times", "ids", "logits"}
    assert recorded(file_environment(spec, tmp_path)) == {"ids", "logits"}


def test_a_prefill_length_switches_the_split_on(spec, model):
    split = replace(spec, options=TaskOptions(prefill_length=512))
    assert environment(split, model)["MODELTEST_PD_SPLIT_ENABLE"] == "1"


def test_one_rank_meets_nobody_and_has_a_port_all_the_same(spec, model, monkeypatch):
    port = str(free_port({}))
    monkeypatch.setenv("MASTER_PORT", port)
    variables = environment(spec, model)
    assert (variables["MASTER_PORT"], variables["RANK"], variables["WORLD_SIZE"]) == (port, "0", "1")
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(PrerequisiteError, match="is taken by another process"):
            environment(spec, model)


def test_torchrun_tells_several_ranks_who_they_are_and_where_they_meet(spec, model):
    variables = environment(replace(spec, world_size=4), model)
    assert not {"MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE"} & variables.keys()
    assert variables["ASCEND_RT_VISIBLE_DEVICES"] == "0,1,2,3"


def test_the_devices_the_user_has_chosen_stay(spec, model, monkeypatch):
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "4,5")
    assert environment(replace(spec, world_size=2), model)["ASCEND_RT_VISIBLE_DEVICES"] == "4,5"
    several = replace(spec, world_size=2, cluster=Cluster("t.json", 2, 0, "10.0.0.1"))
    assert "ASCEND_RT_VISIBLE_DEVICES" not in environment(several, model), "the rank table says which"


def test_a_pipeline_is_told_where_its_ranks_meet(spec, model):
    variables = environment(replace(spec, world_size=2, parallel=Parallel(pp=2)), model)
    assert (variables["MASTER_IP"], variables["ATB_LLM_HCCL_ENABLE"]) == ("127.0.0.1", "1")


def test_ranks_of_one_machine_listen_at_loopback_alone(spec, model, monkeypatch):
    monkeypatch.delenv("HCCL_SOCKET_IFNAME", raising=False)
    variables = environment(replace(spec, world_size=2), model)
    assert variables["GLOO_SOCKET_IFNAME"] == LOOPBACK_INTERFACE
    assert variables["HCCL_SOCKET_IFNAME"] == f"={LOOPBACK_INTERFACE}"
    assert "HCCL_SOCKET_IFNAME" not in environment(spec, model)
    several = replace(spec, world_size=2, cluster=Cluster("t.json", 2, 0, "10.0.0.1"))
    assert "HCCL_SOCKET_IFNAME" not in environment(several, model), "the rank table says where"


def test_other_methods_of_quantisation_than_mindie_s_are_refused(spec, demo_model):
    model = inspect_checkpoint(spec)
    check_mindie(spec, replace(model, quantize="w8a8"), "run_pa")
    with pytest.raises(PrerequisiteError, match="is quantised by gptq; MindIE runs w8a8, "):
        check_mindie(spec, replace(model, quantize="gptq"), "run_pa")


def test_a_variable_of_the_profile_stays_as_the_shell_has_it_when_it_is_kept(spec, model, monkeypatch):
    monkeypatch.setenv("TASK_QUEUE_ENABLE", "0")
    assert environment(spec, model)["TASK_QUEUE_ENABLE"] == "1"
    keeping = replace(spec, engine_options={"stand_in": "yes", "keep": "TASK_QUEUE_ENABLE"})
    check_mindie(keeping, model, "run_pa")
    assert "TASK_QUEUE_ENABLE" not in environment(keeping, model)
    unknown = replace(spec, engine_options={"stand_in": "yes", "keep": "TASKS"})
    with pytest.raises(SpecError, match="keep=TASKS: the profile of llama does not set it"):
        check_mindie(unknown, model, "run_pa")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("1,0", "ASCEND_RT_VISIBLE_DEVICES=1,0 does not ascend"),
        ("0,0", "does not ascend"),
        ("npu:0,npu:1", "or holds more than numbers"),
        ("3", "shows 1 devices, 2 are asked for on this machine"),
    ],
)
def test_devices_that_torch_npu_would_not_count_are_refused(spec, model, monkeypatch, said, reason):
    two = replace(spec, world_size=2)
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "4, 6,7")
    check_mindie(two, model, "run_pa")
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", said)
    with pytest.raises(SpecError, match=reason):
        check_mindie(two, model, "run_pa")


def test_weights_that_others_may_change_are_refused_as_mindie_does(spec, model, tmp_path, monkeypatch):
    shutil.copytree(model.path, tmp_path / "weights")
    (tmp_path / "weights").chmod(0o757)
    opened = replace(model, path=str(tmp_path / "weights"))
    with pytest.raises(SpecError, match=r"every user may write to the folder of the weights .*chmod o-w /"):
        check_mindie(spec, opened, "run_pa")
    monkeypatch.setenv("MINDIE_CHECK_INPUTFILES_PERMISSION", "0")
    check_mindie(spec, opened, "run_pa")


def test_arguments_longer_than_parunner_takes_are_refused(spec, model):
    longest = '{"encrypt": "' + "x" * (4096 - 15) + '"}'
    MindiePA().check(replace(spec, kw_args=longest), model)
    with pytest.raises(SpecError, match="kw_args has 4097 characters, PARunner takes 4096"):
        MindiePA().check(replace(spec, kw_args=longest + " "), model)


def test_a_run_about_the_tokens_of_shapes_records_them_and_is_deterministic(spec, model, tmp_path):
    precision = replace(spec, mode="precision_single", cases=(Case(16, 4),))
    variables = {**environment(precision, model), **file_environment(precision, tmp_path)}
    assert recorded(variables) == {"ids", "logits"}
    assert variables["LCCL_DETERMINISTIC"] == "1"


def test_a_config_that_names_two_dtypes_is_refused(spec, model, tmp_path):
    (tmp_path / "config.json").write_text('{"dtype": "float16", "torch_dtype": "bfloat16"}')
    with pytest.raises(
        SpecError, match="names the dtype float16 and the torch_dtype bfloat16; MindIE goes by t"
    ):
        check_mindie(spec, replace(model, path=str(tmp_path)), "run_pa")
