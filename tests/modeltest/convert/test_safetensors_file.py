import json

import pytest

from modeltest.api import EngineError
from modeltest.convert.safetensors_file import KINDS, lay_out, verify_safetensors, write_safetensors

torch = pytest.importorskip("torch")
library = pytest.importorskip("safetensors.torch")


def write(path, tensors):
    layout = lay_out(tensors)
    write_safetensors(path, tensors, layout)
    return layout


def test_the_file_is_byte_for_byte_that_of_the_library(tmp_path):
    bits = torch.arange(24, dtype=torch.uint8)
    tensors = {f"of {name}": bits.clone().view(getattr(torch, name)) for name in KINDS if name != "bool"}
    tensors |= {
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 7),
        "名": torch.ones(3, dtype=torch.bfloat16),
        "b": torch.ones(1),
    }
    layout = write(tmp_path / "ours", tensors)
    library.save_file(tensors, tmp_path / "theirs", metadata={"format": "pt"})
    content = (tmp_path / "ours").read_bytes()
    assert content == (tmp_path / "theirs").read_bytes()
    assert len(content) == layout.file_bytes


def test_tied_and_transposed_tensors_are_written_under_every_name(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"embed": shared, "head": shared, "turned": shared.t(), "part": shared[:, 1]}
    layout = write(tmp_path / "a", tensors)
    assert layout.tensor_bytes == (6 + 6 + 6 + 2) * 4
    found = library.load_file(tmp_path / "a")
    assert {name: value.tolist() for name, value in found.items()} == {
        "embed": [[0, 1, 2], [3, 4, 5]],
        "head": [[0, 1, 2], [3, 4, 5]],
        "turned": [[0, 3], [1, 4], [2, 5]],
        "part": [1, 4],
    }
    verify_safetensors(tmp_path / "a", tensors)


def test_a_dtype_without_a_name_is_refused():
    with pytest.raises(EngineError, match="tensor 'w' is complex64; safetensors takes bool, uint8"):
        lay_out({"w": torch.ones(1, dtype=torch.complex64)})


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.tensor([1.0, 2.0, 4.0])},
        {"w": torch.tensor([[1.0, 2.0, 3.0]])},
        {"w": torch.tensor([1, 2, 3], dtype=torch.int32)},
        {"w": torch.tensor([1.0, 2.0, 3.0]), "v": torch.ones(1)},
        {"v": torch.tensor([1.0, 2.0, 3.0])},
    ],
)
def test_verification_finds_what_differs(tmp_path, other):
    write(tmp_path / "a", {"w": torch.tensor([1.0, 2.0, 3.0])})
    verify_safetensors(tmp_path / "a", {"w": torch.tensor([1.0, 2.0, 3.0])})
    with pytest.raises(EngineError, match="is the disk sound"):
        verify_safetensors(tmp_path / "a", other)


def test_verification_compares_bits_not_numbers(tmp_path):
    tensors = {"w": torch.tensor([float("nan"), 0.0])}
    write(tmp_path / "a", tensors)
    verify_safetensors(tmp_path / "a", tensors)
    with pytest.raises(EngineError, match="tensor 'w'"):
        verify_safetensors(tmp_path / "a", {"w": torch.tensor([float("nan"), -0.0])})


def test_one_changed_byte_anywhere_in_the_tensors_is_found(tmp_path):
    tensors = {"w": torch.arange(5, dtype=torch.int16), "v": torch.ones(2, dtype=torch.float64)}
    path = tmp_path / "a"
    layout = write(path, tensors)
    content = path.read_bytes()
    for place in range(len(layout.header), len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(EngineError):
            verify_safetensors(path, tensors)


def test_a_file_that_the_library_cannot_read_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"nonsense and more of it")
    with pytest.raises(EngineError, match="was written but cannot be read"):
        verify_safetensors(tmp_path / "a", {})


def test_the_header_says_pt_as_transformers_wants(tmp_path):
    header = lay_out({"w": torch.ones(1)}).header
    assert json.loads(header[8:])["__metadata__"] == {"format": "pt"}
    assert len(header) % 8 == 0
