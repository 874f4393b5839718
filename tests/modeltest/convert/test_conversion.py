import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from modeltest.api import EngineError, PrerequisiteError, SpecError
from modeltest.convert import conversion, convert_checkpoint, one_file
from modeltest.installation import install_command
from modeltest.models.weights import read_weight_files

torch = pytest.importorskip("torch")
library = pytest.importorskip("safetensors.torch")

FIRST = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}
SECOND = {"c": torch.zeros(4, dtype=torch.int64)}
STAGING = ".modeltest-convert"


def convert(directory, **options):
    """Convert in this process: that one of its own does the same is told by tests of its own."""
    lines = []
    options = {"convert_file": one_file.convert_file, **options}
    done = convert_checkpoint(directory, tell=lines.append, **options)
    return done, lines


def loaded(directory):
    files = read_weight_files(directory)
    return {name: value for file in files for name, value in library.load_file(file.path).items()}


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def visible(directory):
    return sorted(path.name for path in directory.iterdir())


class TestInPlace:
    def test_one_file_becomes_one_and_nothing_else_changes(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST)
        before = (folder / "pytorch_model.bin").read_bytes()
        done, lines = convert(folder)
        assert_equal(loaded(folder), FIRST)
        assert (done.target, done.files, done.tensors, done.tensor_bytes) == (folder, 1, 2, 28)
        assert lines == ["1 of 1: pytorch_model.bin -> model.safetensors, 2 tensors, 0.00 GB, verified"]
        assert visible(folder) == ["config.json", "model.safetensors", "pytorch_model.bin"]
        assert (folder / "pytorch_model.bin").read_bytes() == before

    def test_shards_get_an_index_that_names_every_tensor(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST, SECOND)
        done, lines = convert(folder)
        assert (done.files, len(lines)) == (2, 2)
        assert_equal(loaded(folder), FIRST | SECOND)
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        assert index == {
            "metadata": {"total_size": 24 + 4 + 32},
            "weight_map": {
                "a": "model-00001-of-00002.safetensors",
                "b": "model-00001-of-00002.safetensors",
                "c": "model-00002-of-00002.safetensors",
            },
        }

    @pytest.mark.parametrize("family", ["gemma", "llama"])
    def test_a_model_says_the_same_and_its_ties_hold(self, demo_model, torch_checkpoint, tmp_path, family):
        transformers = pytest.importorskip("transformers")
        before = transformers.AutoModelForCausalLM.from_pretrained(demo_model(family))
        folder = torch_checkpoint(before.state_dict(), config=False)
        for path in demo_model(family).iterdir():
            if path.name != "model.safetensors":
                shutil.copy(path, folder)
        convert(folder)
        (folder / "pytorch_model.bin").unlink()
        after = transformers.AutoModelForCausalLM.from_pretrained(folder)
        ids = torch.tensor([[5, 6, 7]])
        assert torch.equal(before(ids).logits, after(ids).logits)
        tied = before.get_input_embeddings().weight is before.get_output_embeddings().weight
        assert (after.get_input_embeddings().weight is after.get_output_embeddings().weight) == tied
        assert tied == (family == "gemma")


class TestElsewhere:
    def test_output_is_a_whole_checkpoint_without_torch_files(self, torch_checkpoint, tmp_path):
        folder = torch_checkpoint(FIRST, SECOND)
        (folder / "tokenizer.json").write_text("{}")
        (folder / ".cache").mkdir()
        done, _ = convert(folder, output=tmp_path / "new" / "model")
        assert visible(done.target) == [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
        ]
        assert_equal(loaded(done.target), FIRST | SECOND)
        assert not any(path.name.endswith(".safetensors") for path in folder.iterdir())

    def test_another_config_there_is_not_overwritten(self, torch_checkpoint, tmp_path):
        folder = torch_checkpoint(FIRST)
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "config.json").write_text("{}")
        with pytest.raises(SpecError, match=r"new holds config\.json already; --force"):
            convert(folder, output=tmp_path / "new")
        assert visible(tmp_path / "new") == ["config.json"]
        convert(folder, output=tmp_path / "new", force=True)
        assert (tmp_path / "new" / "config.json").read_text() == (folder / "config.json").read_text()

    def test_an_equal_config_there_is_in_nobodys_way(self, torch_checkpoint, tmp_path):
        folder = torch_checkpoint(FIRST)
        (tmp_path / "new").mkdir()
        shutil.copy(folder / "config.json", tmp_path / "new")
        convert(folder, output=tmp_path / "new")
        assert_equal(loaded(tmp_path / "new"), FIRST)


class TestWhatIsThere:
    def test_a_second_conversion_needs_force(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST)
        convert(folder)
        with pytest.raises(SpecError, match=r"holds model\.safetensors already; --force replaces it"):
            convert(folder)
        torch.save(SECOND, folder / "pytorch_model.bin")
        convert(folder, force=True)
        assert_equal(loaded(folder), SECOND)

    @pytest.mark.parametrize("force", [False, True])
    def test_files_of_another_checkpoint_are_never_mixed_in(self, torch_checkpoint, force):
        folder = torch_checkpoint(FIRST)
        (folder / "model-00001-of-00002.safetensors").write_bytes(b"other")
        with pytest.raises(SpecError, match=r"holds model-00001-of-00002\.safetensors, which is none of"):
            convert(folder, force=force)
        assert not (folder / STAGING).exists()

    def test_an_index_left_over_is_in_the_way_of_a_single_file(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST)
        (folder / "model.safetensors.index.json").write_text("{}")
        with pytest.raises(SpecError, match=r"holds model\.safetensors\.index\.json"):
            convert(folder, force=True)


class TestBrokenSources:
    def test_nothing_is_published_when_a_later_file_is_hostile(self, torch_checkpoint, tmp_path):
        folder = torch_checkpoint(FIRST, {"c": os.system})
        with pytest.raises(EngineError, match=r"00002-of-00002\.bin asks for posix\.system"):
            convert(folder)
        assert not any(path.suffix == ".safetensors" for path in folder.rglob("*"))
        with pytest.raises(SpecError, match="modeltest convert --model"):
            read_weight_files(folder)

    def test_files_that_hold_the_same_tensor_are_no_parts_of_one_checkpoint(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST, {"b": torch.ones(1)})
        with pytest.raises(EngineError, match="both hold b"):
            convert(folder)

    def test_a_tensor_the_index_promises_must_be_there(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST, SECOND)
        names = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
        weight_map = {"a": names[0], "b": names[0], "c": names[1], "lost": names[1]}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(EngineError, match="names 1 tensors that are in no file, such as lost;"):
            convert(folder)
        assert not any(path.suffix == ".safetensors" for path in folder.iterdir())

    def test_a_written_file_that_reads_differently_is_not_published(self, torch_checkpoint, monkeypatch):
        folder = torch_checkpoint(FIRST)

        def write_badly(path, tensors, layout):
            path.write_bytes(layout.header + b"\0" * layout.tensor_bytes)

        monkeypatch.setattr(one_file, "write_safetensors", write_badly)
        with pytest.raises(EngineError, match="is the disk sound"):
            convert(folder)
        assert visible(folder) == ["config.json", "pytorch_model.bin"]


class TestMachine:
    def test_too_small_a_disk_is_told_before_anything_is_written(self, torch_checkpoint, monkeypatch):
        folder = torch_checkpoint(FIRST, SECOND)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
        monkeypatch.setattr(one_file, "load_state_dict", lambda _: pytest.fail("read"))
        with pytest.raises(PrerequisiteError, match=r"needs 0\.00 GB more, its disk has 0\.00 GB free"):
            convert(folder)
        assert not (folder / STAGING).exists()

    def test_a_disk_that_fills_up_keeps_what_is_done(self, torch_checkpoint, monkeypatch):
        folder = torch_checkpoint(FIRST, SECOND)
        write = one_file.write_safetensors

        def write_once(path, tensors, layout):
            if "c" in tensors:
                path.write_bytes(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, tensors, layout)

        monkeypatch.setattr(one_file, "write_safetensors", write_once)
        with pytest.raises(PrerequisiteError, match="No space left on device; what is finished is kept"):
            convert(folder)
        monkeypatch.setattr(one_file, "write_safetensors", write)
        _, lines = convert(folder)
        assert [line.rpartition(", ")[2] for line in lines] == ["done before", "verified"]
        assert_equal(loaded(folder), FIRST | SECOND)

    def test_two_conversions_of_one_folder_are_kept_apart(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST)
        (folder / STAGING).mkdir()
        with (folder / STAGING / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(PrerequisiteError, match="another conversion is writing"):
                convert(folder)

    def test_missing_packages_are_named(self, torch_checkpoint, monkeypatch):
        folder = torch_checkpoint(FIRST)
        monkeypatch.setattr(conversion, "find_spec", lambda name: None if name == "safetensors" else name)
        with pytest.raises(
            PrerequisiteError, match=f"needs safetensors, .*{re.escape(install_command('hf'))}"
        ):
            convert(folder)


KILLED = """
import os, signal, sys
from pathlib import Path
from modeltest.convert import convert_checkpoint, conversion, one_file
at = sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if at == "published":
    conversion.write_json = die
def tell(line):
    if at == "first" and line.startswith("1 of"):
        die()
def write(path, tensors, layout):
    if at == "writing" and "c" in tensors:
        path.write_bytes(layout.header)
        die()
    real(path, tensors, layout)
real = one_file.write_safetensors
one_file.write_safetensors = write
convert_checkpoint(Path(sys.argv[1]), tell=tell, convert_file=one_file.convert_file)
"""


class TestKilled:
    def kill(self, folder, at):
        done = subprocess.run([sys.executable, "-c", KILLED, str(folder), at], check=False)
        assert done.returncode == -signal.SIGKILL

    @pytest.mark.parametrize("at", ["first", "writing"])
    def test_it_leaves_nothing_that_looks_whole_and_goes_on_from_there(self, torch_checkpoint, at):
        folder = torch_checkpoint(FIRST, SECOND)
        self.kill(folder, at)
        assert not any(path.suffix == ".safetensors" for path in folder.rglob("*"))
        with pytest.raises(SpecError):
            read_weight_files(folder)
        _, lines = convert(folder)
        assert [line.rpartition(", ")[2] for line in lines] == ["done before", "verified"]
        assert_equal(loaded(folder), FIRST | SECOND)
        assert not (folder / STAGING).exists()

    def test_killed_while_publishing_it_ends_the_same(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST, SECOND)
        self.kill(folder, "published")
        _, lines = convert(folder)
        assert [line.rpartition(", ")[2] for line in lines] == ["done before", "done before"]
        assert_equal(loaded(folder), FIRST | SECOND)
        assert (folder / "model.safetensors.index.json").exists()

    def test_a_source_that_changed_since_is_converted_anew(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST, SECOND)
        self.kill(folder, "first")
        changed = {"a": torch.ones(5)}
        torch.save(changed, folder / "pytorch_model-00001-of-00002.bin")
        _, lines = convert(folder)
        assert all(line.endswith("verified") for line in lines)
        assert_equal(loaded(folder), changed | SECOND)

    def test_a_state_that_cannot_be_read_is_no_state(self, torch_checkpoint):
        folder = torch_checkpoint(FIRST)
        (folder / STAGING).mkdir()
        (folder / STAGING / "finished.json").write_text("{")
        convert(folder)
        assert_equal(loaded(folder), FIRST)


MEASURED = """
import re, sys
from pathlib import Path
import torch, safetensors, numpy
from modeltest.convert import convert_checkpoint, one_file
def peak_bytes():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
Path("/proc/self/clear_refs").write_text("5")
before = peak_bytes()
convert_checkpoint(Path(sys.argv[1]), tell=lambda line: None, convert_file=one_file.convert_file)
print(peak_bytes() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_memory_is_bounded_by_the_largest_file(torch_checkpoint, zipped):
    """Also with tied tensors; what is written is mapped once more to be compared, which can be dropped."""
    # glibc maps a block of more than 32 MiB on its own and gives it back when it is freed; smaller ones may
    # stay in the heap of the process, so that the peak of several would depend on what lies between them.
    shard_bytes = 40 << 20
    shards = [
        {f"{i}.tied": tensor, f"{i}.w": tensor}
        for i in range(4)
        for tensor in [torch.full((shard_bytes // 4,), float(i))]
    ]
    folder = torch_checkpoint(*shards, _use_new_zipfile_serialization=zipped)
    command = [sys.executable, "-c", MEASURED, str(folder)]
    try:
        grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    except subprocess.CalledProcessError as problem:
        if "Permission" in problem.stderr:
            pytest.skip("this kernel does not let a process reset its peak memory")
        raise
    # The file, and its two written copies while they are compared; all files together are 8 such sizes.
    assert grown < 3.5 * shard_bytes
