"""torch_npu as the engines see it: there, broken, or kept out."""

import sys
import types
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

import pytest

from engines.common import npu
from modeltest.api import PrerequisiteError


@pytest.fixture
def surface(monkeypatch):
    """Return a `torch.npu` of two chips that compute bfloat16."""
    import torch

    surface = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        current_device=lambda: 0,
        get_device_name=lambda number: "Ascend910B4",
        is_bf16_supported=lambda: True,
        compile_modes=[],
    )
    surface.set_compile_mode = lambda *, jit_compile: surface.compile_modes.append(jit_compile)
    module = types.ModuleType("torch_npu")
    module.__spec__ = ModuleSpec("torch_npu", None)
    monkeypatch.setattr(torch, "npu", surface, raising=False)
    monkeypatch.setitem(sys.modules, "torch_npu", module)
    return surface


@pytest.fixture
def without_torch_npu(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)


def _installed(monkeypatch, problem: Exception) -> None:
    """Let torch_npu be found, and fail when it is imported."""

    class Broken:
        def find_spec(self, name, *_):
            return ModuleSpec(name, self) if name == "torch_npu" else None

        def create_module(self, spec):
            raise problem

        def exec_module(self, module):
            raise AssertionError

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])


def test_an_npu_that_works_has_no_obstacle(surface):
    assert npu.obstacle() is None


def test_without_torch_npu_there_is_none(without_torch_npu):
    assert npu.obstacle() == "torch_npu is not installed"


@pytest.mark.parametrize(
    "problem", [ImportError("libhccl.so"), RuntimeError("two"), OSError("libascend_hal.so")]
)
def test_whatever_its_import_raises_is_told_with_what_mends_it(without_torch_npu, monkeypatch, problem):
    _installed(monkeypatch, problem)
    said = npu.obstacle()
    assert "torch_npu of unknown version cannot be imported beside torch 2." in said
    assert f"({type(problem).__name__}: {problem})" in said
    assert "set_env.sh" in said


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (None, "torch_npu counts no device: see `npu-smi info`"),
        ("3,1", "does not ascend, so that torch_npu counts no device: give 1,3"),
        ("1,1", "does not ascend, so that torch_npu counts no device: give 1"),
        ("9", "torch_npu counts no device with ASCEND_RT_VISIBLE_DEVICES=9"),
        ("npu:0", "is not a list of device numbers, such as 0,1"),
    ],
)
def test_why_no_device_is_visible_is_told(surface, monkeypatch, shown, said):
    surface.device_count = lambda: 0
    if shown is None:
        monkeypatch.delenv(npu.VISIBLE_DEVICES, raising=False)
    else:
        monkeypatch.setenv(npu.VISIBLE_DEVICES, shown)
    assert said in npu.obstacle()


def test_operators_are_not_compiled_for_each_shape(surface):
    npu.prepare()
    assert surface.compile_modes == [False]


def test_kept_out_it_cannot_be_found(without_torch_npu, monkeypatch):
    _installed(monkeypatch, ImportError("libhccl.so"))
    assert find_spec("torch_npu") is not None
    monkeypatch.setitem(sys.modules, "torch_npu", None)  # so that it is undone at the end
    npu.keep_out()
    assert find_spec("torch_npu") is None
    assert not npu.is_installed()
    with pytest.raises(ImportError):
        import torch_npu  # noqa: F401


def test_one_that_is_imported_stays(surface):
    npu.keep_out()
    assert npu.is_installed()


def test_bfloat16_is_refused_by_a_chip_without_it(surface):
    npu.refuse_dtype("bfloat16")
    surface.is_bf16_supported = lambda: False
    npu.refuse_dtype("float16")
    with pytest.raises(PrerequisiteError, match="Ascend910B4 does not compute bfloat16; use a float16 word"):
        npu.refuse_dtype("bfloat16")
