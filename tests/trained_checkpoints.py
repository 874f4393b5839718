"""The trained model of the tests: made once beside the environment, by whichever process comes first.

`bash run.sh test` makes it before the tests begin, in all dtypes, so that no test's time limit has to cover a
download: `python tests/trained_checkpoints.py`. A later run finds it there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modeltest.api import ModelTestError, PrerequisiteError
from modeltest.convert import safetensors_file
from modeltest.demo import DTYPES, trained
from modeltest.demo.wheel import CACHE_VARIABLE, cache_folder

NO_TRAINED_MODEL = "no trained model"
"""Begins the reason of a test that is skipped for want of it."""


GIVEN = "MODELTEST_TESTS_CHECKPOINTS"
"""Names the directories by dtype, as JSON, to tests in another environment, where others would be made."""


class NoTrainedModel(Exception):
    """It cannot be made here; the message says why."""


def is_ci(variables: Mapping[str, str]) -> bool:
    """Say whether this is a run of CI, where no test may be left out for want of a network."""
    return variables.get("CI", "").lower() in ("1", "true", "yes")


def folder(variables: Mapping[str, str]) -> Path:
    """Return where all of it is kept: `MODELTEST_CACHE`, the environment, or the user's cache."""
    in_environment = sys.prefix != sys.base_prefix
    if in_environment and not variables.get(CACHE_VARIABLE):
        return Path(sys.prefix) / "modeltest-cache"
    return cache_folder(variables)


def checkpoint(dtype: str, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Return the directory of the checkpoint in `dtype`, made if it is not there yet.

    Raises: NoTrainedModel.
    """
    if GIVEN in os.environ:
        return _given(dtype)
    place = folder(os.environ)
    directory = place / f"smollm2-{dtype}-{_recipe()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / ".checkpoints.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.is_dir():
                for old in place.glob(f"smollm2-{dtype}-*"):  # by another recipe
                    shutil.rmtree(old)
                trained.build_smollm2(directory, dtype=dtype, cache=place, tell=tell)
    except (PrerequisiteError, OSError) as problem:
        raise NoTrainedModel(f"{NO_TRAINED_MODEL}: {problem}") from problem
    return directory


def _given(dtype: str) -> Path:
    known = json.loads(os.environ[GIVEN])
    if dtype not in known:
        raise NoTrainedModel(f"{NO_TRAINED_MODEL}: none was made in {dtype}")
    return Path(known[dtype])


def _recipe() -> str:
    """Return a digest of what decides the files of a checkpoint."""
    digest = hashlib.sha256()
    for module in (trained, safetensors_file):
        digest.update(Path(str(module.__file__)).read_bytes())
    for name in ("transformers", "gguf", "tokenizers"):
        try:
            digest.update(f"{name} {version(name)}".encode())
        except PackageNotFoundError:
            digest.update(name.encode())
    return digest.hexdigest()[:8]


def main() -> int:
    """Make all checkpoints; without a network that is a failure in CI alone."""
    try:
        for dtype in DTYPES:
            sys.stdout.write(f"{checkpoint(dtype, tell)}\n")
    except NoTrainedModel as problem:
        tell(f"{'error' if is_ci(os.environ) else 'NOTICE'}: {problem}")
        return 1 if is_ci(os.environ) else 0
    except ModelTestError as problem:
        tell(f"error: {problem}")
        return 1
    return 0


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
