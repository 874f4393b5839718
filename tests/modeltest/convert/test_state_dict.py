import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import pytest

from modeltest.api import EngineError
from modeltest.convert.state_dict import load_state_dict

torch = pytest.importorskip("torch")


class Attack:
    """What a hostile checkpoint does: opening it runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_both_formats_of_torch_give_the_tensors(tmp_path, zipped):
    path = tmp_path / "a.bin"
    torch.save(
        OrderedDict(a=torch.arange(3), b=torch.nn.Parameter(torch.ones(2))),
        path,
        _use_new_zipfile_serialization=zipped,
    )
    found = load_state_dict(path)
    assert list(found) == ["a", "b"]
    assert torch.equal(found["a"], torch.arange(3))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused_and_never_run(tmp_path, zipped):
    path, trace = tmp_path / "a.bin", tmp_path / "trace"
    attack = {"w": torch.ones(2), "x": Attack(f"touch {trace}")}
    torch.save(attack, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(EngineError, match=r"a\.bin asks for posix\.system to be run .*; it was not"):
        load_state_dict(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the attack works on whoever opens the file carelessly"


def test_a_bare_pickle_is_refused_and_never_run(tmp_path):
    path, trace = tmp_path / "a.bin", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Attack(f"touch {trace}")))
    with pytest.raises(EngineError, match=r"a\.bin"):
        load_state_dict(path)
    assert not trace.exists()


def test_the_oldest_format_is_refused_before_torch_sees_it(tmp_path):
    path = tmp_path / "a.bin"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO(b""))
    with pytest.raises(EngineError, match="tar archive"):
        load_state_dict(path)


@pytest.mark.parametrize("keep", [0, 1, 40, 0.5, 0.99])
def test_a_damaged_file_is_named(tmp_path, keep):
    path = tmp_path / "a.bin"
    torch.save({"w": torch.arange(1000)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(EngineError, match=r"a\.bin (cannot be read|is not a file of tensors)") as caught:
        load_state_dict(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(1)], "holds a list, not tensors by name"),
        ({"model": {"w": torch.ones(1)}}, "holds 'model', a dict"),
        ({"w": torch.ones(1), "epoch": 3}, "holds 'epoch', a int"),
        ({3: torch.ones(1)}, "holds 3, a Tensor"),
        ({"w": torch.eye(2).to_sparse()}, "tensor 'w' is torch.sparse_coo"),
        ({"w": torch.ones(1, device="meta")}, "tensor 'w' is without data"),
    ],
)
def test_anything_but_plain_tensors_by_name_is_refused(tmp_path, content, said):
    path = tmp_path / "a.bin"
    torch.save(content, path)
    with pytest.raises(EngineError) as caught:
        load_state_dict(path)
    assert said in str(caught.value)


def test_a_wrong_bit_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "a.bin"
    weights = torch.arange(1000)
    torch.save({"w": weights}, path)
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"a\.bin is damaged: .*data/0 in it is not what its checksum says"):
        load_state_dict(path)


def test_entries_that_come_to_more_than_the_file_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "a.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(EngineError, match="its entries come to more bytes than it has"):
        load_state_dict(path)


def test_a_name_that_no_file_can_hold_is_refused(tmp_path):
    path = tmp_path / "a.bin"
    torch.save({"half \ud800": torch.ones(2)}, path)
    with pytest.raises(EngineError, match="holds 'half"):
        load_state_dict(path)


def test_a_list_of_entries_that_cannot_be_read_is_damage(tmp_path):
    path = tmp_path / "a.bin"
    torch.save({"a": torch.ones(2)}, path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2")
    data[entry + 9] |= 0x08  # the name of the last entry is said to be UTF-8,
    data[entry + 46] = 0xFF  # which it is not
    path.write_bytes(bytes(data))
    with pytest.raises(EngineError, match=r"a\.bin is damaged"):
        load_state_dict(path)


def test_an_archive_in_several_parts_is_damage(tmp_path):
    path = tmp_path / "a.bin"
    torch.save({"a": torch.ones(2)}, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\6\7") + 16] = 2  # how many parts there are
    path.write_bytes(bytes(data))
    with pytest.raises(EngineError, match=r"a\.bin is damaged"):
        load_state_dict(path)
