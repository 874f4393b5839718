import json
import struct

import pytest
from fake_machine import FakeMachine
from npu_smi_outputs import DUO_LAYOUT, TWO_A2_CHIPS

from modeltest.doctor.ascend import Plan, examine
from modeltest.doctor.checkpoint import Need
from modeltest.doctor.finding import State
from modeltest.doctor.machine import CommandOutput

NAMES = [
    *("driver", "npu-smi", "visible devices", "CANN", "ATB", "ATB_SPEED_HOME_PATH", "torch_npu"),
    *("BF16", "weights", "torch_dtype", "quantize", "context"),
    *("paths", "MASTER_PORT", "RANK_TABLE_FILE", "variables", "CPU governor"),
]


def sound_machine(**changes):
    return FakeMachine(
        **{
            "environment": {
                "ASCEND_HOME_PATH": "/cann",
                "ATB_HOME_PATH": "/atb",
                "ATB_SPEED_HOME_PATH": "/models",
            },
            "files": {
                "/usr/local/Ascend/driver/version.info": "Version=24.1.0\n",
                "/dev/davinci_manager": "",
                "/cann/aarch64-linux/ascend_toolkit_install.info": "version=8.0.RC3\n",
                "/atb/lib/libatb.so": "",
                "/models/examples/run_pa.py": "",
                "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
            },
            "outputs": {"npu-smi info": TWO_A2_CHIPS},
            "packages": {"torch": "2.1.0", "torch_npu": "2.1.0.post10"},
            **changes,
        }
    )


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"torch_dtype": "float16", "max_position_embeddings": 4096})
    )
    header = json.dumps({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\1")
    return tmp_path


def states(findings):
    return {finding.name: finding.state for finding in findings}


def test_a_sound_machine_and_checkpoint_pass_every_check(checkpoint):
    plan = Plan(chips=2, weights=str(checkpoint), dtype="float16", needs=(Need(3072, 512, "x"),))
    findings = examine(sound_machine(), plan)
    assert [finding.name for finding in findings] == NAMES
    assert set(states(findings).values()) == {State.OK}, findings
    said = {finding.name: finding.said for finding in findings}
    assert said["CANN"] == "8.0.RC3 in /cann"
    assert said["npu-smi"] == "2 x 910B3, all healthy"
    assert said["weights"] == "1 safetensors file, 0.00 GB, whole"
    assert said["context"] == "4096, needed are 3072 + 512 tokens: x"


def test_a_machine_without_any_of_it_says_absent_and_what_to_do():
    findings = examine(FakeMachine(), Plan(chips=1))
    found = states(findings)
    assert list(found) == NAMES
    for name in NAMES[:8]:
        assert found[name] is State.ABSENT, name
    assert {found[name] for name in NAMES[8:12]} == {State.SKIPPED}
    assert all(finding.mend for finding in findings if finding.blocks)


def test_every_amiss_thing_is_found_at_once(checkpoint):
    (checkpoint / "config.json").write_text(
        json.dumps({"dtype": "bfloat16", "quantize": "w9", "max_position_embeddings": 2048})
    )
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    machine = sound_machine(
        environment={
            "ASCEND_RT_VISIBLE_DEVICES": "1,0",
            "MASTER_PORT": "12345",
            "RANK_TABLE_FILE": "/t.json",
            "ASCEND_HOME_PATH": "/gone",
        },
        outputs={"npu-smi info": CommandOutput(0, DUO_LAYOUT)},
        packages={"torch": "2.6.0", "torch_npu": "2.1.0"},
        taken_ports=(12345,),
        working_directory="/tmp",
        open_paths=("/tmp",),
    )
    plan = Plan(chips=2, weights=str(checkpoint), needs=(Need(3072, 512, "x"),), cuts_prompts=False)
    findings = examine(machine, plan)
    assert {name for name, state in states(findings).items() if state is State.WRONG} == {
        *("visible devices", "CANN", "torch_npu", "BF16", "weights", "torch_dtype", "quantize"),
        *("context", "MASTER_PORT", "RANK_TABLE_FILE"),
    }
    mends = {finding.name: finding.mend for finding in findings}
    assert mends["weights"] == f"modeltest convert --model {checkpoint}"
    assert mends["MASTER_PORT"] == "export MASTER_PORT=23456"


def test_without_a_config_the_checks_that_need_it_are_skipped(tmp_path):
    found = states(examine(sound_machine(), Plan(chips=1, weights=str(tmp_path))))
    assert list(found) == NAMES
    assert found["weights"] is State.ABSENT
    assert {found[name] for name in ("torch_dtype", "quantize", "context")} == {State.SKIPPED}


def test_weights_split_by_rank_are_looked_for_by_the_number_of_chips(checkpoint):
    (checkpoint / "config.json").write_text(json.dumps({"torch_dtype": "float16", "quantize": "w8a8sc"}))
    weights = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").unlink()
    for rank in range(2):
        (checkpoint / f"part{rank}-of-2").mkdir()
        (checkpoint / f"part{rank}-of-2" / "model.safetensors").write_bytes(weights)
    machine = sound_machine(outputs={"npu-smi info": CommandOutput(0, DUO_LAYOUT)})
    two = examine(machine, Plan(chips=2, weights=str(checkpoint)))
    one = examine(machine, Plan(chips=1, weights=str(checkpoint)))
    assert states(two)["weights"] is State.OK
    assert states(one)["weights"] is State.ABSENT


def test_a_variable_that_the_profile_of_the_checkpoint_replaces_is_named(checkpoint):
    (checkpoint / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": "float16"}))
    machine = sound_machine(environment={"TASK_QUEUE_ENABLE": "0"})
    findings = {finding.name: finding for finding in examine(machine, Plan(chips=1, weights=str(checkpoint)))}
    assert findings["variables"].said == "the model's profile replaces TASK_QUEUE_ENABLE=0 by 1"
    without = {finding.name: finding for finding in examine(machine, Plan(chips=1))}
    assert without["variables"].state is State.OK


def test_folders_open_to_all_are_no_matter_where_mindie_does_not_look_at_permissions(checkpoint):
    machine = sound_machine(working_directory="/tmp", open_paths=("/tmp", str(checkpoint)))
    plan = Plan(chips=1, weights=str(checkpoint))
    assert states(examine(machine, Plan(chips=1)))["paths"] is State.WARNING, "runs work there"
    assert states(examine(machine, plan))["paths"] is State.WRONG
    machine.environment["MINDIE_CHECK_INPUTFILES_PERMISSION"] = "0"
    assert states(examine(machine, plan))["paths"] is State.OK
