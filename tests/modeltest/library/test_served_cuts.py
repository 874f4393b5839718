"""Cut checkpoints that somebody else serves: what is asked for, and what is not believed."""

from pathlib import Path

import pytest

from modeltest.api import PrerequisiteError, RunSpec, SpecError
from modeltest.library.served_cuts import ServedCuts, is_served, refuse_unstated_dtype

URL = "http://127.0.0.1:8000/v1"
BEHIND = [(-4.0, -4.0), (-2.0, -2.0), (-1.0, -1.0)]
"""What the reference tells behind one, two and three layers."""


def test_the_next_checkpoint_is_asked_for_once_also_by_another_process(tmp_path):
    with pytest.raises(
        PrerequisiteError, match=f"have the server at {URL} serve /cuts/15 next, the first 15"
    ):
        ServedCuts(tmp_path, URL).require(15, Path("/cuts/15"))
    again = ServedCuts(tmp_path, URL)
    again.require(15, Path("/cuts/15"))
    with pytest.raises(PrerequisiteError, match="the first 22"):
        again.require(22, Path("/cuts/22"))
    ServedCuts(tmp_path, URL).require(15, Path("/cuts/15"))


def test_other_layers_than_were_asked_for_are_not_believed_and_forgotten(tmp_path):
    run = tmp_path / "candidate-2"
    run.mkdir()
    served = ServedCuts(tmp_path, URL)
    served.refuse_other(2, BEHIND, (-2.1, -1.9), run)
    served.refuse_other(2, BEHIND, (-9.0, -9.0), run)  # a broken port is near to none of them
    assert run.exists()
    with pytest.raises(PrerequisiteError, match="has the first 3 layers of the model, not the first 2"):
        served.refuse_other(2, BEHIND, (-1.1, -1.0), run)
    assert not run.exists()


def test_the_dtype_of_a_server_must_be_said():
    spec = RunSpec("openai", "locate", "locate", "auto", URL)
    assert is_served(spec)
    with pytest.raises(SpecError, match="give --dtype"):
        refuse_unstated_dtype(spec)
    refuse_unstated_dtype(RunSpec("openai", "locate", "locate", "auto", URL, dtype="bfloat16"))
    refuse_unstated_dtype(RunSpec("vllm", "locate", "locate", "auto", "/models/port"))
