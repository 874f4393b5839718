"""Places to import torch_npu from: the stand-in, built once, and a wheel that CANN is missing for."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

STAND_IN = Path(__file__).parent / "stand_in"
SOURCE = STAND_IN / "torch_npu" / "device.cpp"
VERSION = "2.13.0"
NO_CANN = "libhccl.so: cannot open shared object file: No such file or directory"

_BROKEN = f"""\
import sys
print("torch_npu was imported", file=sys.stderr)
raise ImportError({NO_CANN!r})
"""


def build_library(folder: Path) -> Path | None:
    """Return the stand-in's device as a library in `folder`, built if need be; `None` without a compiler."""
    import torch

    digest = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = folder / f"npu-{digest}.so"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
            if compiler is None:
                return None
            draft = folder / f"{library.name}.{os.getpid()}"
            subprocess.run([compiler, str(SOURCE), "-o", str(draft), *_flags()], check=True)
            draft.rename(library)
    return library


def _flags() -> list[str]:
    # Asked of a process of its own: it brings setuptools, which wants to be there before distutils.
    asked = (
        "import json, torch; from torch.utils.cpp_extension import include_paths, library_paths; "
        "print(json.dumps([torch.compiled_with_cxx11_abi(), include_paths(), library_paths()]))"
    )
    said = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout
    has_new_abi, includes, (libraries,) = json.loads(said.splitlines()[-1])
    return [
        *(
            "-std=c++20",
            "-O0",
            "-fPIC",
            "-shared",
            f"-D_GLIBCXX_USE_CXX11_ABI={int(has_new_abi)}",
        ),
        *(f"-I{path}" for path in includes),
        *(f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-ltorch_cpu", "-lc10"),
    ]


def write_distribution(site: Path) -> Path:
    """Make `site` a place where torch_npu is installed by name, and torch imports it by itself."""
    metadata = site / f"torch_npu-{VERSION}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch_npu\nVersion: {VERSION}\n")
    (metadata / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    return site


def write_broken(site: Path) -> Path:
    """Make `site` hold a torch_npu that cannot be imported, as its wheel without CANN."""
    package = write_distribution(site) / "torch_npu"
    package.mkdir()
    (package / "__init__.py").write_text(_BROKEN)
    return site


@dataclass(frozen=True)
class Machine:
    """What to set so that a command runs there, and where it writes."""

    variables: dict[str, str]
    folder: Path

    def run(self, *words: str, **variables: str) -> "Ran":
        """Run `modeltest` with `words`, `variables` set as well."""
        return run_command(*words, folder=self.folder, variables={**self.variables, **variables})


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    said: str
    result: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    log: str = ""
    journal: str = ""


def run_command(*words: str, folder: Path, variables: dict[str, str]) -> Ran:
    """Run `modeltest` with `words` in a folder of its own, and read what it wrote."""
    output = folder / f"out{sum(1 for _ in folder.iterdir())}"
    output.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "modeltest", *words, "--output", str(output)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **variables},
        cwd=folder,
    )
    directory = next(iter(output.iterdir()), None)
    if directory is None:
        return Ran(done.returncode, done.stderr)
    samples = directory / "samples.jsonl"
    return Ran(
        done.returncode,
        done.stderr,
        json.loads((directory / "run.json").read_text(encoding="utf-8")),
        _answers(samples),
        (directory / "log.txt").read_text(encoding="utf-8"),
        samples.read_text(encoding="utf-8") if samples.exists() else "",
    )


def _answers(samples: Path) -> dict:
    lines = samples.read_text(encoding="utf-8").splitlines() if samples.exists() else []
    found = [line["sample"]["completion"] for line in map(json.loads, lines) if "sample" in line]
    return {completion["request_id"]: completion for completion in found}
