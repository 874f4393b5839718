import json

import pytest

from modeltest.api import EngineError, SpecError
from modeltest.convert.sources import find_torch_files, is_weights, safetensors_names


def put(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"torch weights, or so it seems")


def write_index(folder, weight_map):
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


def names(checkpoint):
    return [file.path.name for file in checkpoint.files]


def test_a_single_file_becomes_the_one_every_loader_looks_for(tmp_path):
    put(tmp_path, "pytorch_model.bin")
    (file,) = find_torch_files(tmp_path).files
    assert (file.path.name, file.target, file.size_bytes) == ("pytorch_model.bin", "model.safetensors", 29)
    assert file.modified_ns == file.path.stat().st_mtime_ns


@pytest.mark.parametrize(
    "name", ["weights.bin", "model.pt", "consolidated.00.pth", "part-00001-of-00001.bin"]
)
def test_so_does_a_single_file_of_any_name(tmp_path, name):
    put(tmp_path, name)
    (file,) = find_torch_files(tmp_path).files
    assert (file.path.name, file.target) == (name, "model.safetensors")


def test_numbered_files_keep_their_numbers(tmp_path):
    put(tmp_path, "pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin")
    assert [file.target for file in find_torch_files(tmp_path).files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_the_index_says_which_files_there_are_and_what_they_hold(tmp_path):
    put(tmp_path, "a.bin", "b.bin", "stray.bin")
    write_index(tmp_path, {"x": "b.bin", "y": "a.bin", "z": "b.bin"})
    checkpoint = find_torch_files(tmp_path)
    assert names(checkpoint) == ["a.bin", "b.bin"]
    assert checkpoint.promised == {"x", "y", "z"}


def test_without_an_index_the_numbers_say_what_is_missing(tmp_path):
    put(tmp_path, "pytorch_model-00002-of-00003.bin")
    with pytest.raises(EngineError, match=r"lacks 2 of its torch files: pytorch_model-00001-of-00003\.bin"):
        find_torch_files(tmp_path)


def test_a_file_the_index_names_must_exist(tmp_path):
    put(tmp_path, "a.bin")
    write_index(tmp_path, {"x": "a.bin", "y": "b.bin"})
    with pytest.raises(EngineError, match=r"lacks 1 of its torch files: b\.bin"):
        find_torch_files(tmp_path)


@pytest.mark.parametrize(
    "name", ["../elsewhere.bin", "/etc/passwd", "sub/a.bin", "..", "", 3, "a" * 300, "a\0", "\ud800"]
)
def test_an_index_cannot_lead_out_of_its_folder(tmp_path, name):
    write_index(tmp_path, {"x": name})
    with pytest.raises(EngineError, match="lie beside its index"):
        find_torch_files(tmp_path)


@pytest.mark.parametrize("weight_map", [None, [], {}, "a.bin"])
def test_an_index_without_a_map_is_named(tmp_path, weight_map):
    put(tmp_path, "pytorch_model.bin")
    write_index(tmp_path, weight_map)
    with pytest.raises(EngineError, match="has no weight_map"):
        find_torch_files(tmp_path)


def test_the_whole_file_wins_over_others_beside_it(tmp_path):
    put(tmp_path, "pytorch_model.bin", "pytorch_model.fp16.bin", "other.pt")
    assert names(find_torch_files(tmp_path)) == ["pytorch_model.bin"]


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"])
def test_what_a_training_left_behind_is_no_weights(tmp_path, name):
    assert not is_weights(name)
    put(tmp_path, name)
    with pytest.raises(SpecError, match="holds no torch weights"):
        find_torch_files(tmp_path)


def test_safetensors_need_no_conversion(tmp_path):
    put(tmp_path, "model.safetensors")
    with pytest.raises(SpecError, match="holds safetensors already"):
        find_torch_files(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(SpecError, match="is not a folder"):
        find_torch_files(tmp_path / "absent")


def test_a_pointer_of_git_lfs_is_told_from_weights(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(EngineError, match="git lfs pull"):
        find_torch_files(tmp_path)


def test_two_files_of_one_name_are_refused():
    with pytest.raises(SpecError, match="same name"):
        safetensors_names(["a.bin", "a.pt"])
