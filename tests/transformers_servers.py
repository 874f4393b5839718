"""A real `transformers serve` for tests: a process group of its own, which ends with the test run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vllm_servers import free_port, kept

MODEL_NAME = "modeltest/trained"
_REVISION = "0" * 39 + "1"


@dataclass(frozen=True, slots=True)
class TransformersServer:
    """A server that answers; it loads the model when it is first asked."""

    url: str
    """The address that clients of OpenAI's interface are given."""

    model: str
    checkpoint: Path
    log: Path


@contextmanager
def transformers_serving(python: Path, checkpoint: Path, scratch: Path) -> Iterator[TransformersServer]:
    """Serve `checkpoint` in float32 with the transformers of `python` while the block lasts.

    The server lists what is in the cache of its hub: a cache in `scratch` holds this one model. Its log is
    kept there too.

    Raises: AssertionError with the end of the log when it does not come to answer.
    """
    _put_into_cache(checkpoint, scratch / "hub")
    root, log = f"http://127.0.0.1:{free_port()}", scratch / "server.log"
    command = [str(python), "-m", "transformers.cli.transformers", "serve"]
    command += ["--host", "127.0.0.1", "--port", root.rpartition(":")[2], "--device", "cpu"]
    command += ["--dtype", "float32"]
    variables = {"HF_HOME": str(scratch), "HF_HUB_CACHE": str(scratch / "hub"), "HF_HUB_OFFLINE": "1"}
    with kept(command, root, log, variables):
        yield TransformersServer(f"{root}/v1", MODEL_NAME, checkpoint, log)


def _put_into_cache(checkpoint: Path, hub: Path) -> None:
    repository = hub / f"models--{MODEL_NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / _REVISION
    snapshot.mkdir(parents=True)
    for file in checkpoint.iterdir():
        (snapshot / file.name).symlink_to(file.resolve())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(_REVISION, encoding="utf-8")
