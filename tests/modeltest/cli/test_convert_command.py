"""`modeltest convert`: the whole way, by the words of the error that recommends it."""

import shlex

import pytest
from click.testing import CliRunner

from modeltest.api import SpecError
from modeltest.cli import main
from modeltest.cli.convert import convert
from modeltest.models.weights import convert_command, read_weight_files

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")


@pytest.fixture
def folder(tmp_path):
    directory = tmp_path / "a model"
    directory.mkdir()
    torch.save({"w": torch.ones(250_000, 5)}, directory / "pytorch_model.bin")
    return directory


def test_the_recommended_command_does_what_was_asked(folder, capsys):
    with pytest.raises(SpecError) as caught:
        read_weight_files(folder)
    command = convert_command(folder)
    assert str(caught.value).endswith(f"convert them with: {command}")
    assert main(shlex.split(command)[1:]) == 0
    said = capsys.readouterr()
    assert said.err == "1 of 1: pytorch_model.bin -> model.safetensors, 1 tensors, 0.01 GB, verified\n"
    assert said.out == (
        f"converted 1 tensors, 0.01 GB in 1 file: {folder}\nthe torch files (0.01 GB) are still in {folder}\n"
    )
    assert [file.path.name for file in read_weight_files(folder)] == ["model.safetensors"]


def test_exit_statuses_are_those_of_every_command(folder, tmp_path, capsys):
    assert main(["convert", "--model", str(tmp_path / "absent")]) == 2
    assert main(["convert"]) == 2
    assert main(["convert", "--model", str(folder)]) == 0
    assert main(["convert", "--model", str(folder)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["convert", "--model", str(folder), "--force"]) == 0
    (folder / "pytorch_model.bin").write_bytes(b"damaged")
    assert main(["convert", "--model", str(folder), "--output", str(tmp_path / "new")]) == 5


def test_the_help_says_that_nothing_is_run_or_deleted():
    text = " ".join(CliRunner().invoke(convert, ["--help"]).output.split())
    assert "No code in them is run" in text
    assert "nothing is deleted" in text
