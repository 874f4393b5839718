"""Every file and word that a user or a stranger can hand over, and the function that takes it in.

A surface is entered in this process, as the command would: what comes out is success or a `ModelTestError`.
"""

import json
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mutations import mutated

from modeltest import registry
from modeltest.api import GenerationOptions, RunSpec
from modeltest.api.adapters import read_adapters
from modeltest.cli.calibration_file import read_calibration
from modeltest.cli.suite import _plan
from modeltest.cluster.rank_table import read_rank_table
from modeltest.data.card import load_card, read_card
from modeltest.data.rows import read_records
from modeltest.generate.prompts import read_prompts
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.models.profiles import model_keys
from modeltest.run.directory import read_result
from modeltest.run.finish import judged
from modeltest.suite.state import read_suite

Enter = Callable[[bytes], object]

NAMES = (
    "config",
    "safetensors_header",
    "safetensors_bytes",
    "safetensors_index",
    "rows_boolq",
    "card_boolq",
    "rows_mmlu",
    "card_mmlu",
    "rows_ceval",
    "card_ceval",
    "run_json",
    "journal",
    "suite_json",
    "rank_table",
    "calibration",
    "lora",
    "prompts",
    "suite_yaml",
    "words",
)
"""The names of all surfaces, in their order."""


@dataclass(frozen=True)
class Surface:
    """What is handed over, valid, and what takes it in."""

    name: str
    seeds: Sequence[bytes]
    enter: Enter
    is_json: bool = True


def surfaces(root: Path, model: Path, run: Path) -> list[Surface]:
    """Return all surfaces; `model` is a checkpoint, `run` the directory of an accuracy run."""
    return [
        *_checkpoint(root, model),
        *_datasets(root),
        *_runs(root, run),
        _file(root, "rank_table", json.dumps(RANK_TABLE).encode(), lambda path: read_rank_table(str(path))),
        _file(root, "calibration", json.dumps(CALIBRATION).encode(), read_calibration),
        _file(root, "lora", b'{"0": "adapter1"}\n{"1": "adapter2"}\n', lambda path: read_adapters(str(path))),
        _file(
            root,
            "prompts",
            b'"hello"\n{"role": "user"}\n[1, 2, 3]\n[{"role": "user", "content": "hi"}]\n',
            lambda path: read_prompts(
                GenerationOptions(max_new_tokens=2, input_texts=(), input_file=str(path)), chat=True
            ),
        ),
        _file(root, "suite_yaml", SUITE.encode(), _plan, is_json=False),
        Surface("words", [words.encode() for words in WORDS], _parse, is_json=False),
    ]


RANK_TABLE = {
    "version": "1.0",
    "status": "completed",
    "server_count": "2",
    "server_list": [
        {
            "server_id": f"10.0.0.{node}",
            "container_ip": f"10.0.0.{node}",
            "device": [
                {
                    "device_id": str(chip),
                    "device_ip": f"10.1.{node}.{chip}",
                    "rank_id": str(2 * node - 2 + chip),
                }
                for chip in (0, 1)
            ],
        }
        for node in (1, 2)
    ],
}
CALIBRATION = {
    "format_version": 1,
    "created": "2026-01-01T00:00:00+00:00",
    "tolerances": [{"case": {"input_tokens": 4, "output_tokens": 4}, "batch_size": 1, "metric": "ttft_ms"}],
}
SUITE = """
name: nightly
models: [none]
engines: [fake, {engine: fake, profile: llama}]
tasks:
  - accuracy: {task: [boolq, mmlu], split: sample, limit: 5, shots: 2}
  - performance: {case: [[256, 64], [1024, 64]], batch-size: [1, 8]}
exclude:
  - {engine: fake, task: mmlu}
"""
WORDS = (
    "pa_fp16 full_BoolQ 1 gemma W 8",
    "pa_fp16 performance [[2048,2048],[1,2]] [1,4] llama W 8",
    "fake performance_maxbs [[64,16]] [[1,32]] 200 llama none 1",
    "pa_bf16 full_MMLU 5 8 qwen chat W trust_remote_code 16 2 0 10.0.0.1 [1,-1] 4096",
    "fake performance [[16,4]] 1 prefill_batch_size 4 dataset boolq 1 llama none 1",
)


def _parse(data: bytes) -> object:
    words = data.decode(errors="replace").split(" ")
    modes = all_modes(registry.declared_modes())
    return parse(words, modes=modes, model_keys=model_keys(), engines=registry.engine_names())


def _file(
    root: Path, name: str, seed: bytes, read: Callable[[Path], object], *, is_json: bool = True
) -> Surface:
    path = root / f"{name}.json"

    def enter(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return Surface(name, [seed], enter, is_json)


def _checkpoint(root: Path, model: Path) -> list[Surface]:
    header_bytes = struct.unpack("<Q", (model / "model.safetensors").read_bytes()[:8])[0]
    weights = (model / "model.safetensors").read_bytes()

    def inspect(name: str, write: Callable[[Path, bytes], None]) -> Enter:
        folder = root / f"checkpoint_{name}"
        shutil.copytree(model, folder)
        spec = RunSpec(engine="hf", mode="sample_BoolQ", task="boolq", model="auto", weights=str(folder))

        def enter(data: bytes) -> object:
            write(folder, data)
            return inspect_checkpoint(spec)

        return enter

    def write_header(folder: Path, data: bytes) -> None:
        whole = struct.pack("<Q", len(data)) + data + weights[8 + header_bytes :]
        (folder / "model.safetensors").write_bytes(whole)

    def write_start(folder: Path, data: bytes) -> None:
        (folder / "model.safetensors").write_bytes(data)

    names = list(json.loads(weights[8 : 8 + header_bytes]))
    index = {"metadata": {}, "weight_map": {n: "model.safetensors" for n in names if n != "__metadata__"}}
    config = (model / "config.json").read_bytes()
    return [
        Surface("config", [config], inspect("config", lambda to, data: _put(to / "config.json", data))),
        Surface("safetensors_header", [weights[8 : 8 + header_bytes]], inspect("header", write_header)),
        Surface(
            "safetensors_bytes",
            [weights[: 8 + header_bytes + 64]],
            inspect("bytes", write_start),
            is_json=False,
        ),
        Surface(
            "safetensors_index",
            [json.dumps(index).encode()],
            inspect("index", lambda to, data: _put(to / "model.safetensors.index.json", data)),
        ),
    ]


def _datasets(root: Path) -> list[Surface]:
    found = []
    for name in ("boolq", "mmlu", "ceval"):
        card = load_card(name)
        split = next(
            each for each in card.splits if list((card.sample_folder).glob(each.files.format(subject="*")))
        )
        files = list(card.sample_folder.glob(split.files.format(subject="*")))
        subject = next(iter(card.subjects))

        def read(path: Path, card=card, split=split, subject=subject) -> object:
            return list(read_records(card, split, subject, path))

        rows = _file(root, f"rows_{name}", files[0].read_bytes(), read, is_json=files[0].suffix == ".jsonl")
        found.append(rows)
        source = (Path(card.folder) / "dataset.toml").read_bytes()
        found.append(
            _file(
                root, f"card_{name}", source[-6000:] if name != "boolq" else source, read_card, is_json=False
            )
        )
    return found


def _runs(root: Path, run: Path) -> list[Surface]:
    def judge(name: str, file: str) -> Enter:
        folder = root / f"run_{name}"
        shutil.copytree(run, folder)

        def enter(data: bytes) -> object:
            _put(folder / file, data)
            result = read_result(folder)
            return judged(result, folder)

        return enter

    suite = root / "suite_state"
    suite.mkdir()

    def enter_suite(data: bytes) -> object:
        _put(suite / "suite.json", data)
        return read_suite(suite)

    plain = {"schema": 1, "name": "n", "file": "f", "started": "s", "status": "planned", "runs": []}
    return [
        Surface("run_json", [(run / "run.json").read_bytes()], judge("json", "run.json")),
        Surface("journal", [(run / "samples.jsonl").read_bytes()], judge("journal", "samples.jsonl")),
        Surface("suite_json", [json.dumps(plain).encode()], enter_suite),
    ]


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def one_input(surface: Surface, seed: int) -> bytes:
    """Return the input of a surface that belongs to `seed`."""
    dice = Random(f"{surface.name}/{seed}")
    return mutated(dice.choice(surface.seeds), dice, is_json=surface.is_json)
