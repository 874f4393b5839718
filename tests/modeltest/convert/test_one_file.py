"""A torch file that is converted by a process of its own, and what may come of it."""

import pickle
import struct
from contextlib import closing

import pytest

from modeltest.api import EngineError
from modeltest.convert.one_file import FileConverter

torch = pytest.importorskip("torch")
library = pytest.importorskip("safetensors.torch")

HUGE = pickle.GLOBAL + b"builtins\nbytearray\n" + pickle.LONG1 + b"\x08" + struct.pack("<q", 1 << 50)
"""Asks for a thousand million million bytes, which torch lets pass."""


@pytest.mark.slow
def test_a_file_is_converted_and_what_is_wrong_with_another_does_not_end_the_command(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.ones(2, dtype=torch.bfloat16)}
    good, bad, target = tmp_path / "a.bin", tmp_path / "b.bin", tmp_path / "a.safetensors"
    torch.save(tensors, good)
    bad.write_bytes(pickle.PROTO + b"\x02" + HUGE + pickle.TUPLE1 + pickle.REDUCE + pickle.STOP)
    with closing(FileConverter()) as convert:
        written = convert(good, target)
        with pytest.raises(EngineError, match=r"b\.bin cannot be read"):
            convert(bad, tmp_path / "b.safetensors")
    assert (set(written.names), written.tensor_bytes) == ({"a", "b"}, 28)
    assert written.file_bytes == target.stat().st_size
    found = library.load_file(target)
    assert torch.equal(found["a"], tensors["a"])
    assert torch.equal(found["b"], tensors["b"])
    assert not (tmp_path / "b.safetensors").exists()
