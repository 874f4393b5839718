"""Machines with torch_npu for tests: one with npus (the stand-in), and one without CANN."""

import os
from pathlib import Path

import pytest
from torch_npu_places import STAND_IN, Machine, Ran, build_library, write_broken, write_distribution


@pytest.fixture(scope="session")
def npu(request, tmp_path_factory) -> Machine:
    """Return the stand-in, whose device is built once for a version of torch and kept in pytest's cache."""
    pytest.importorskip("torch")
    library = build_library(Path(request.config.cache.mkdir("npu_stand_in")))
    if library is None:
        pytest.skip("the stand-in for torch_npu needs a C++ compiler (g++, clang++ or CXX)")
    site = write_distribution(tmp_path_factory.mktemp("site"))
    variables = {
        "PYTHONPATH": os.pathsep.join(map(str, (site, STAND_IN))),
        "STAND_IN_NPU_LIBRARY": str(library),
        "MODELTEST_DEVICE": "npu",
    }
    return Machine(variables, tmp_path_factory.mktemp("npu"))


@pytest.fixture(scope="session")
def without_cann(tmp_path_factory) -> Machine:
    """Return a machine where torch_npu is installed and cannot be imported."""
    site = write_broken(tmp_path_factory.mktemp("broken"))
    return Machine({"PYTHONPATH": str(site)}, tmp_path_factory.mktemp("without_cann"))


@pytest.fixture(scope="session")
def weights(demo_model) -> str:
    return str(demo_model("llama"))


@pytest.fixture(scope="session")
def on_the_cpu(without_cann, weights) -> Ran:
    """Return the reference's answers to BoolQ, of a machine whose torch_npu is broken."""
    return without_cann.run("hf_fp32", "sample_BoolQ", "8", "auto", weights, "1")
