from dataclasses import replace

import pytest

from engines.mindie.variables import check_kept, profile_variables, replaced_notes
from modeltest.api import ModelInfo, SpecError

MODEL = replace(
    ModelInfo("baichuan2_13b", "baichuan2_13b", "/w", "baichuan", "float16", None, 4096, 128, 1, None),
    environment={"TASK_QUEUE_ENABLE": "1", "PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:2048"},
)


def test_the_profile_wins_over_the_shell_and_over_what_every_model_has():
    variables = profile_variables(MODEL, keep=(), shell={"TASK_QUEUE_ENABLE": "0"})
    assert variables["TASK_QUEUE_ENABLE"] == "1"
    assert variables["PYTORCH_NPU_ALLOC_CONF"] == "max_split_size_mb:2048"
    plain = profile_variables(replace(MODEL, environment={}), keep=(), shell={})
    assert plain["PYTORCH_NPU_ALLOC_CONF"] == "expandable_segments:True"


def test_a_kept_variable_is_left_to_the_shell():
    variables = profile_variables(MODEL, keep={"TASK_QUEUE_ENABLE"}, shell={"TASK_QUEUE_ENABLE": "0"})
    assert "TASK_QUEUE_ENABLE" not in variables
    assert replaced_notes(variables) == ()


def test_what_was_replaced_is_told_with_the_way_to_keep_it():
    shell = {"TASK_QUEUE_ENABLE": "0", "PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:2048"}
    (note,) = replaced_notes({**shell, **profile_variables(MODEL, keep=(), shell=shell)})
    assert note == (
        "TASK_QUEUE_ENABLE=0 of the shell is 1 here, as the model's profile has it; "
        "--engine-option keep=TASK_QUEUE_ENABLE leaves it"
    )
    assert replaced_notes({}) == (), "an engine of another start"


def test_keeping_what_no_profile_sets_is_refused():
    check_kept(MODEL, {"TASK_QUEUE_ENABLE", "PYTORCH_NPU_ALLOC_CONF"})
    with pytest.raises(
        SpecError, match=r"keep=RANK: the profile of baichuan2_13b does not set it; it sets PYT"
    ):
        check_kept(MODEL, {"RANK", "TASK_QUEUE_ENABLE"})
