"""Faults between a text and its token ids through `accept`, on a real tiny model."""

import pytest

import modeltest
from modeltest.api import Decision, FindingCode, Leaning
from modeltest.cli import main
from modeltest.run.record.directory import read_result

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def pack(demo_model, tmp_path_factory):
    """Return a pack of conversations that are answered in up to a few words, and its checkpoint."""
    directory = demo_model("llama")
    made = modeltest.make_reference(
        out=str(tmp_path_factory.mktemp("prompts") / "tiny.ref"),
        model=str(directory),
        dtype="fp32",
        task=["boolq", "gsm8k"],
        protocol="lm-eval",
        split="sample",
        chat=True,
        texts=0,
        twin=["fp32"],
        twin_batch_size=[1],
    )
    return made.path, directory


def accepted(pack, tmp_path, *engine):
    path, directory = pack
    words = ["accept", str(path), "--model", str(directory), "--dtype", "fp32", "--answers-alone"]
    status = main([*words, *engine, "--output", str(tmp_path / "runs")])
    (run,) = (tmp_path / "runs").iterdir()
    return status, read_result(run).summary


def test_a_pack_has_conversations_as_they_were(pack):
    wordings = modeltest.read_reference(pack[0]).wordings
    assert len(wordings) == 24
    assert all(each.text is None and each.turns for each in wordings)


def test_a_right_port_reads_what_the_reference_read(pack, tmp_path):
    _, found = accepted(pack, tmp_path, "--engine", "hf")
    prompts = found.tests[0]
    assert (prompts.name, prompts.leaning, prompts.value) == ("token ids", Leaning.PASSED, 0.0)
    assert found.decision is not Decision.REJECT


@pytest.mark.parametrize("fault", ["double_bos:1", "other_template:0.25"])
def test_a_port_that_reads_something_else_is_rejected_before_it_is_asked_a_question(pack, tmp_path, fault):
    status, found = accepted(pack, tmp_path, "--engine", "faulty", "--engine-option", f"fault={fault}")
    assert status == 1
    assert found.decision is Decision.REJECT
    assert [each.code for each in found.reason_codes] == [FindingCode.PROMPTS_DIFFER]
    assert found.cost.questions == 0
