"""The files PARunner writes while it runs: last-position logits, token ids and benchmark.csv.

Row i of `logits_0.pth` is request i only if all requests were prefilled together; a second prefill overwrites
the file. So callers send one prefill at a time, and every file is compared with what was sent.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/server/{generate,request}.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.mindie.benchmark import BenchmarkRow, parse_benchmark
from engines.mindie.environment import recorded
from modeltest.api import EngineError

_LEFTOVERS = ("logits_*.pth", "input_ids_*.pth", "output_ids_*.txt", "benchmark.csv")


@dataclass(frozen=True, slots=True)
class RunnerFiles:
    """Where the files are, and which of them are written: the variables this process was started with."""

    directory: Path
    records: frozenset[str]
    benchmark: Path

    @staticmethod
    def of(variables: Mapping[str, str]) -> RunnerFiles:
        """Return what `variables` say.

        Raises: EngineError when they were not set before this process began.
        """
        try:
            folders = [
                variables["ATB_LLM_LOGITS_SAVE_FOLDER"],
                variables["ATB_LLM_TOKEN_IDS_SAVE_FOLDER"],
            ]
            benchmark = Path(variables["ATB_LLM_BENCHMARK_FILEPATH"])
        except KeyError as missing:
            raise EngineError(
                f"{missing.args[0]} is not set: MindIE reads its environment when it is imported, so "
                "`environment` and `file_environment` must be applied before the process starts"
            ) from None
        if len({*folders, str(benchmark.parent)}) != 1:
            raise EngineError(f"MindIE is to write into several folders: {', '.join(sorted({*folders}))}")
        return RunnerFiles(Path(folders[0]), recorded(variables), benchmark)

    def clear(self) -> None:
        """Remove what an earlier call left: nothing that is read later can be older than the call.

        Raises: EngineError when a file cannot be removed.
        """
        for pattern in _LEFTOVERS:
            for path in self.directory.glob(pattern):
                try:
                    path.unlink(missing_ok=True)  # the ranks of one node clear the same folder
                except OSError as problem:
                    raise EngineError(f"cannot remove the old {path}: {problem.strerror}") from problem

    def read_benchmark(self) -> BenchmarkRow:
        """Return the times of the last call.

        Raises: EngineError when there are none or they make no sense.
        """
        return parse_benchmark(_text_of(self.benchmark))

    def read_output_ids(self, row: int) -> tuple[int, ...]:
        """Return the generated ids of request `row`, the end of text included.

        Raises: EngineError.
        """
        path = self.directory / f"output_ids_{row}.txt"
        words = _text_of(path).split()
        if not words or not all(word.isdecimal() for word in words):
            raise EngineError(f"{path} holds no token ids but {' '.join(words)!r:.80}")
        return tuple(map(int, words))

    def check_inputs(self, prompts: Sequence[Sequence[int]]) -> None:
        """Refuse files of another call or another order: request i must have been asked `prompts[i]`.

        Raises: EngineError.
        """
        for row, prompt in enumerate(prompts):
            path = self.directory / f"input_ids_{row}.pth"
            found = _tensor_in(path)
            if found.dim() != 1 or found.tolist() != list(prompt):
                raise EngineError(
                    f"{path} is not the prompt of request {row}: {tuple(found.shape)} ids instead of "
                    f"{len(prompt)}, or others; MindIE has changed or reordered the requests"
                )

    def read_last_logits(self, rows: int, vocabulary_size: int, dtype: Any) -> Any:
        """Return the logits after the prompts, `[rows, vocabulary_size]` in float32.

        A vocabulary that was padded for the device is cut: what stands behind it is no token, but would
        take part in the softmax.

        Raises: EngineError when the file is absent, of another shape or rounded to less than the model's
        `dtype`: equal logits would be made of different ones.
        """
        path = self.directory / "logits_0.pth"
        logits = _tensor_in(path)
        if logits.dim() != 2 or logits.shape[0] != rows:
            raise EngineError(
                f"{path} has the shape {tuple(logits.shape)}, {rows} rows of logits are expected: "
                "the requests were not prefilled together"
            )
        if logits.shape[1] < vocabulary_size:
            raise EngineError(
                f"{path} has {logits.shape[1]} columns for a vocabulary of {vocabulary_size}: "
                "the ranks' parts were not joined"
            )
        if not logits.is_floating_point():
            raise EngineError(f"{path} holds {logits.dtype}, not logits")
        if _eps(logits.dtype) > _eps(dtype):
            raise EngineError(f"{path} holds {logits.dtype}, coarser than the {dtype} of the model")
        return logits[:, :vocabulary_size].float()


def _eps(dtype: Any) -> float:
    import torch

    return torch.finfo(dtype).eps


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise _unwritten(path, problem) from None


def _tensor_in(path: Path) -> Any:
    import torch

    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as problem:
        raise _unwritten(path, problem) from None
    except Exception as problem:
        reason = " ".join(str(problem).split())
        raise EngineError(f"{path} is no tensor: {type(problem).__name__}: {reason:.200}") from problem
    if not isinstance(tensor, torch.Tensor):
        raise EngineError(f"{path} holds a {type(tensor).__name__}, not a tensor")
    return tensor


def _unwritten(path: Path, problem: OSError) -> EngineError:
    return EngineError(
        f"MindIE did not write {path} ({problem.strerror}); "
        "is it another version than those of docs/ascend.md?"
    )
