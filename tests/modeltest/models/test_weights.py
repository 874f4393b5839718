import json
import shlex
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import EngineError, SpecError
from modeltest.models.weights import (
    convert_command,
    earlier_fingerprint,
    numbered_files,
    read_weight_files,
)


def safetensors_bytes(data=b"\1\2\3\4", *, promised=None):
    """One float32-sized tensor whose header promises `promised` bytes of data."""
    end = len(data) if promised is None else promised
    tensors = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "U8", "shape": [end], "data_offsets": [0, end]},
    }
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


def names(files):
    return [file.path.name for file in files]


def write_index(directory, *shards, name="model.safetensors.index.json"):
    weight_map = {f"layer.{i}": shard for i, shard in enumerate(shards)}
    (directory / name).write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": weight_map}))


@pytest.fixture
def single(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes())
    return tmp_path


@pytest.fixture
def sharded(tmp_path):
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for i, shard in enumerate(shards):
        (tmp_path / shard).write_bytes(safetensors_bytes(bytes([i] * 4)))
    write_index(tmp_path, *shards)
    return tmp_path


class TestWholeFiles:
    def test_a_single_file_gives_its_size_and_header(self, single):
        (file,) = read_weight_files(single)
        content = safetensors_bytes()
        assert file.size_bytes == len(content)
        assert file.header == content[8:-4]

    def test_shards_come_in_the_order_of_their_names(self, sharded):
        assert names(read_weight_files(sharded)) == [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ]

    def test_a_file_without_tensors_is_whole(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
        assert names(read_weight_files(tmp_path)) == ["model.safetensors"]

    def test_a_header_padded_with_blanks_is_whole(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 8) + b"{}      ")
        assert names(read_weight_files(tmp_path)) == ["model.safetensors"]

    def test_agrees_with_the_safetensors_library(self, tmp_path):
        numpy = pytest.importorskip("numpy")
        library = pytest.importorskip("safetensors.numpy")
        arrays = {"a": numpy.zeros((3, 5), dtype="float32"), "b": numpy.ones(7, dtype="int8")}
        library.save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "np"})
        (file,) = read_weight_files(tmp_path)
        assert file.size_bytes == 8 + len(file.header) + 3 * 5 * 4 + 7


class TestMissingFiles:
    def test_a_shard_the_index_names_must_exist(self, sharded):
        (sharded / "model-00002-of-00002.safetensors").unlink()
        with pytest.raises(EngineError, match=r"lacks 1 weight file.*model-00002-of-00002\.safetensors"):
            read_weight_files(sharded)

    def test_many_missing_shards_are_counted_and_three_named(self, single):
        write_index(single, *(f"part-{i}.safetensors" for i in range(5)))
        with pytest.raises(EngineError, match=r"lacks 5 .*part-0.*part-2\.safetensors, \.\.\.$"):
            read_weight_files(single)

    def test_numbered_shards_must_be_complete_without_an_index_too(self, sharded):
        (sharded / "model.safetensors.index.json").unlink()
        (sharded / "model-00001-of-00002.safetensors").unlink()
        with pytest.raises(EngineError, match=r"model-00001-of-00002\.safetensors"):
            read_weight_files(sharded)

    @pytest.mark.parametrize(
        "content", ["[]", "{}", "not json", '{"weight_map": []}', '{"weight_map": null}']
    )
    def test_a_broken_index_is_named(self, single, content):
        (single / "model.safetensors.index.json").write_text(content)
        with pytest.raises(EngineError, match=r"model\.safetensors\.index\.json is not a safetensors index"):
            read_weight_files(single)

    def test_an_index_under_another_name_counts_too(self, single):
        write_index(single, "gone.safetensors", name="quant_model_weight.safetensors.index.json")
        with pytest.raises(EngineError, match=r"gone\.safetensors"):
            read_weight_files(single)

    def test_a_dangling_link_is_named(self, tmp_path):
        (tmp_path / "model.safetensors").symlink_to(tmp_path / "blob")
        with pytest.raises(EngineError, match=r"model\.safetensors cannot be read: No such file"):
            read_weight_files(tmp_path)


class TestBrokenFiles:
    def test_a_truncated_file_names_the_promised_and_the_present_size(self, tmp_path):
        content = safetensors_bytes(b"\0" * 10, promised=4096)
        (tmp_path / "model.safetensors").write_bytes(content)
        promised = len(content) - 10 + 4096
        message = rf"model\.safetensors is truncated: it promises {promised} bytes but has {len(content)};"
        with pytest.raises(EngineError, match=message):
            read_weight_files(tmp_path)

    def test_a_file_cut_inside_its_header_is_truncated(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(safetensors_bytes()[:20])
        with pytest.raises(EngineError, match="is truncated"):
            read_weight_files(tmp_path)

    def test_a_file_longer_than_promised_is_damaged(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(safetensors_bytes() + b"\0")
        with pytest.raises(EngineError, match="is damaged"):
            read_weight_files(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\1", b"\0" * 7])
    def test_a_file_too_short_for_a_length_is_truncated(self, tmp_path, content):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(EngineError, match="is truncated"):
            read_weight_files(tmp_path)

    def test_a_pointer_of_git_lfs_is_told_from_weights(self, tmp_path):
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        (tmp_path / "model.safetensors").write_bytes(pointer)
        with pytest.raises(EngineError, match=r"Git LFS pointer.*git lfs pull"):
            read_weight_files(tmp_path)

    def test_another_format_is_told_from_a_truncated_file(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"PK\3\4" + b"\xff" * 60)
        with pytest.raises(EngineError, match="is not a safetensors file"):
            read_weight_files(tmp_path)

    @pytest.mark.parametrize(
        "header",
        [
            *(b"{broken", b"[]", b'{"w": 3}', b'{"w": {"data_offsets": [0]}}', b"\xff"),
            *(b'{"w": {"data_offsets": [true, 4]}}', b'{"w": {"data_offsets": [0, 1e3]}}'),
            *(b'{"w": {"data_offsets": [-1, 0]}}', b'{"w": {"data_offsets": [4, 0]}}'),
            *(b"[" * 100_000, b'{"w": {"data_offsets": [0, 0]}, "w": {"data_offsets": [0, 0]}}'),
        ],
    )
    def test_a_damaged_header_is_named(self, tmp_path, header):
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        with pytest.raises(EngineError, match=r"model\.safetensors is not a safetensors file: its header"):
            read_weight_files(tmp_path)

    @given(keep=st.integers(0, len(safetensors_bytes()) - 1))
    def test_every_cut_is_noticed(self, tmp_path_factory, keep):
        directory = tmp_path_factory.mktemp("cut")
        (directory / "model.safetensors").write_bytes(safetensors_bytes()[:keep])
        with pytest.raises(EngineError):
            read_weight_files(directory)

    @given(content=st.binary(max_size=80))
    def test_any_bytes_are_whole_or_an_engine_error(self, tmp_path_factory, content):
        directory = tmp_path_factory.mktemp("any")
        (directory / "model.safetensors").write_bytes(content)
        try:
            (file,) = read_weight_files(directory)
        except EngineError:
            return
        assert file.size_bytes == len(content)


class TestFingerprint:
    def test_is_the_same_for_equal_checkpoints_wherever_they_lie(self, single, tmp_path_factory):
        other = tmp_path_factory.mktemp("copy")
        (other / "model.safetensors").write_bytes(safetensors_bytes())
        prints = {earlier_fingerprint(b"{}", read_weight_files(place)) for place in (single, other)}
        assert len(prints) == 1
        assert len(prints.pop()) == 64

    def test_differs_by_config_name_header_and_tensor_values(self, tmp_path_factory):
        def of(config=b"{}", name="model", data=b"\1\2\3\4"):
            directory = tmp_path_factory.mktemp("print")
            (directory / f"{name}.safetensors").write_bytes(safetensors_bytes(data))
            return earlier_fingerprint(config, read_weight_files(directory))

        prints = [of(), of(b"{ }"), of(name="weights"), of(data=b"\1\2\3"), of(data=b"\1\2\3\5")]
        assert len(set(prints)) == 5

    def test_of_a_large_file_only_samples_are_read(self, tmp_path):
        path = tmp_path / "model.safetensors"
        size = 1 << 40
        header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
        try:
            with path.open("wb") as file:
                file.write(struct.pack("<Q", len(header)) + header)
                file.truncate(8 + len(header) + size)
        except OSError:
            pytest.skip("this file system has no sparse files of a tebibyte")
        assert len(earlier_fingerprint(b"{}", read_weight_files(tmp_path))) == 64


class TestOldFormats:
    def test_a_folder_without_weights_says_what_is_needed(self, tmp_path):
        with pytest.raises(SpecError, match=r"holds no weights: \*\.safetensors files are needed"):
            read_weight_files(tmp_path)

    @pytest.mark.parametrize(
        ("name", "pattern"),
        [
            ("pytorch_model.bin", "pytorch_model*.bin"),
            ("pytorch_model-00001-of-00002.bin", "pytorch_model*.bin"),
            ("other.bin", "*.bin"),
            ("model.pt", "*.pt"),
            ("consolidated.00.pth", "*.pth"),
        ],
    )
    def test_torch_files_are_refused_with_the_command_that_converts_them(self, tmp_path, name, pattern):
        folder = tmp_path / "it's a folder"
        folder.mkdir()
        (folder / name).write_bytes(b"torch")
        with pytest.raises(SpecError) as caught:
            read_weight_files(folder)
        assert f"holds {pattern} but no *.safetensors" in str(caught.value)
        assert str(caught.value).endswith(f"convert them with: {convert_command(folder)}")
        assert shlex.split(convert_command(folder)) == ["modeltest", "convert", "--model", str(folder)]
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a-00001-of-00002.bin"], {"a-00001-of-00002.bin", "a-00002-of-00002.bin"}),
        (["m-1-of-1.safetensors"], {"m-1-of-1.safetensors"}),
        (["a.bin", "b-of-3.bin"], set()),
    ],
)
def test_numbers_in_names_ask_for_all_files(names, expected):
    assert numbered_files(names) == expected
