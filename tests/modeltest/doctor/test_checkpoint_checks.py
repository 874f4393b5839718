import json
import shlex
import subprocess
from pathlib import Path

import pytest
from finding_checks import ABSENT, OK, SKIPPED, WARNING, WRONG, assert_found

from modeltest.api import EngineError, SpecError
from modeltest.doctor.checkpoint import (
    Need,
    check_bfloat16,
    check_context,
    check_quantisation,
    check_torch_dtype,
    check_weights,
    not_named,
)
from modeltest.models.weights import WeightFile

FILE = WeightFile(Path("/w/model.safetensors"), 2_500_000_000, b"{}")


@pytest.mark.parametrize(
    ("found", "state", "said", "mend"),
    [
        ([FILE], OK, "1 safetensors file, 2.50 GB, whole", ""),
        ([FILE, FILE], OK, "2 safetensors files, 5.00 GB, whole", ""),
        (
            SpecError("/w holds *.bin; convert them with: modeltest convert --model /w"),
            WRONG,
            "/w holds *.bin",
            "modeltest convert --model /w",
        ),
        (SpecError("/w holds no weights"), ABSENT, "/w holds no weights", "copy the checkpoint into /w"),
        (EngineError("/w/m is truncated"), WRONG, "truncated", "copy the checkpoint into /w"),
    ],
)
def test_weights(found, state, said, mend):
    assert_found(check_weights("/w", found), state, said, mend)


@pytest.mark.parametrize(
    ("config", "wanted", "state", "said"),
    [
        ({"torch_dtype": "float16"}, "float16", OK, "float16"),
        ({"torch_dtype": "bfloat16", "dtype": "bfloat16"}, None, OK, "bfloat16"),
        ({"dtype": "bfloat16"}, "bfloat16", WRONG, "names bfloat16 under dtype only"),
        ({}, "bfloat16", WRONG, "names none; atb_llm needs it"),
        ({"torch_dtype": "float32"}, None, WRONG, "float32; atb_llm runs float16 and bfloat16"),
        (
            {"torch_dtype": "float16", "dtype": "bfloat16"},
            "float16",
            WRONG,
            "names float16 under torch_dtype and bfloat16 under dtype",
        ),
        ({"torch_dtype": "bfloat16"}, "float16", WRONG, "bfloat16, but the engine word means float16"),
    ],
)
def test_torch_dtype_and_the_command_that_mends_it(tmp_path, config, wanted, state, said):
    path = tmp_path / "it's config.json"
    path.write_text(json.dumps({**config, "hidden_size": 8, "rope": {"a": 1}}, indent=2))

    def found(values):
        return check_torch_dtype(
            str(path), torch_dtype=values.get("torch_dtype"), dtype=values.get("dtype"), wanted=wanted
        )

    finding = found(config)
    assert_found(finding, state, said, "")
    if finding.mend.startswith("sed"):
        subprocess.run(shlex.split(finding.mend), check=True)
        mended = json.loads(path.read_text())
        assert (mended["hidden_size"], mended["rope"]) == (8, {"a": 1})
        assert found(mended).state is OK
    elif state is WRONG:
        assert finding.mend == "use the engine word pa_bf16"


@pytest.mark.parametrize(
    ("chips", "dtype", "state", "said", "mend"),
    [
        (["910B3", "910B3"], "bfloat16", OK, "910B3 can", ""),
        (["310P3"], "bfloat16", WRONG, "310P3 cannot compute it", "pa_fp16 and sed -i"),
        (["310P3"], "float16", OK, "310P3 cannot compute it; float16 is asked for", ""),
        (["310P3"], None, OK, "float16 is asked for", ""),
        ([], "bfloat16", ABSENT, "no chips", "npu-smi info"),
    ],
)
def test_bfloat16(chips, dtype, state, said, mend):
    assert_found(check_bfloat16(chips, dtype=dtype, config_path="/w/config.json"), state, said, mend)


def test_a_chip_nobody_knows_is_asked_by_the_user():
    assert check_bfloat16(["X1"], dtype="bfloat16", config_path=None).state is WARNING
    finding = check_bfloat16(["X1"], dtype="float16", config_path=None)
    assert (finding.state, "is_bf16_supported" in finding.mend) == (OK, True)


@pytest.mark.parametrize(
    ("kind", "chips", "state", "said", "mend"),
    [
        (None, ["910B3"], OK, "none: float weights", ""),
        ("w8a8", ["910B3"], OK, "w8a8", ""),
        ("w8a8sc", ["310P3"], OK, "w8a8sc", ""),
        ("w8a8sc", [], OK, "w8a8sc", ""),
        ("w8a8s", ["910B3"], WRONG, "only 300I DUO computes; here is 910B3", "w8a8"),
        ("gptq", ["910B3"], WRONG, "gptq, which MindIE does not run", "msModelSlim"),
        (SpecError("unknown quantize"), ["910B3"], WRONG, "unknown quantize", "change it"),
    ],
)
def test_quantisation(kind, chips, state, said, mend):
    assert_found(check_quantisation(kind, chips), state, said, mend)


@pytest.mark.parametrize(
    ("context", "needs", "is_cut", "state", "said", "mend"),
    [
        (4096, [Need(3072, 512, "BoolQ")], True, OK, "4096, needed are 3072 + 512 tokens: BoolQ", ""),
        (3584, [Need(3072, 512, "BoolQ")], True, OK, "3584", ""),
        (2048, [Need(3072, 512, "BoolQ")], True, WARNING, "2048, needed", "give 3584 as the last word"),
        (
            2048,
            [Need(1, 1, "a"), Need(2048, 2048, "b")],
            False,
            WRONG,
            "tokens: b",
            "give 4096 as the last word",
        ),
        (None, [Need(1, 1, "a")], True, WARNING, "names none", "give 2"),
    ],
)
def test_context(context, needs, is_cut, state, said, mend):
    assert_found(check_context(context, needs, is_cut=is_cut), state, said, mend)


def test_what_was_not_named_is_skipped_with_the_way_to_name_it():
    assert check_context(2048, [], is_cut=True).state is SKIPPED
    finding = not_named("weights")
    assert (finding.state, finding.blocks) == (SKIPPED, False)
    assert "--model DIR" in finding.mend
