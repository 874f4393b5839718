"""Datasets: their cards with the mapping of subjects, their rows, and the user's own prompts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fuzz_places import Places
from surface import Enter, Surface, of_file

from modeltest import registry
from modeltest.api import GenerationOptions, RunSpec, TaskData, TaskOptions
from modeltest.data.card import CARD_FILE, DatasetCard, load_card, read_card
from modeltest.data.customize import load_customize
from modeltest.data.rows import read_records
from modeltest.generate.prompts import read_prompts
from modeltest.lora_requests import read_adapters

PROMPTS = b'"hello"\n{"prompt": "you"}\n[1, 2, 3]\n[{"role": "user", "content": "hi"}]\n'


def dataset_surfaces(places: Places) -> Iterator[Surface]:
    """Yield the surfaces of every dataset, and of files with prompts."""
    root = places.scratch
    for name in ("boolq", "mmlu", "ceval"):
        card = load_card(name)
        _, path = _sample(card)
        few = b"".join(path.read_bytes().splitlines(keepends=True)[:4])
        yield Surface(f"rows_{name}", [few], _rows(root, card), is_json=path.suffix == ".jsonl")
        yield of_file(root, f"card_{name}", _source(card), _used_card, is_json=False)
    subjects = _source(load_card("ceval"))
    yield of_file(
        root, "subjects", subjects[subjects.index(b"\n[subjects") :], _used_subjects(subjects), is_json=False
    )
    yield Surface(
        "customize",
        [b'{"question": "What is it?"}\n{"question": "And that?", "more": 1}\n'],
        _customize(root),
    )
    yield of_file(
        root, "lora", b'{"0": "adapter1"}\n{"1": "adapter2"}\n', lambda path: read_adapters(str(path))
    )
    yield of_file(root, "prompts", PROMPTS, _prompts)


def _sample(card: DatasetCard):
    """Return a split of the bundled rows and the first of its files."""
    for split in card.splits:
        for path in sorted(card.sample_folder.glob(split.files.format(subject="*"))):
            return split, path
    raise AssertionError(card.name)


def _source(card: DatasetCard) -> bytes:
    return (Path(card.folder) / CARD_FILE).read_bytes()


def _rows(root: Path, card: DatasetCard) -> Enter:
    split, example = _sample(card)
    path = root / f"rows_{card.name}{example.suffix}"
    subject = next(iter(card.subjects))
    task = registry.load_task(card.name)
    spec = RunSpec(
        engine="fake", mode="", task=card.name, model="auto", weights="none", options=TaskOptions(shots=0)
    )

    def enter(data: bytes) -> object:
        path.write_bytes(data)
        records = tuple(read_records(card, split, subject, path))
        return list(task.requests(TaskData(records, {}, card.subjects), spec))

    return enter


def _used_card(path: Path) -> object:
    """Read a card and what it names, as a run does with it."""
    card = read_card(path)
    return [
        list(read_records(card, split, subject, path.parent / file))
        for split in card.splits
        for subject, file in split.paths(card.subjects).items()
        if (path.parent / file).is_file()
    ]


def _used_subjects(whole: bytes):
    """Return what reads a card of which the subjects alone are wrong, and asks a question of each."""
    before = whole[: whole.index(b"\n[subjects")]
    card = load_card("ceval")
    split, example = _sample(card)
    task = registry.load_task("ceval")
    spec = RunSpec(
        engine="fake", mode="", task="ceval", model="auto", weights="none", options=TaskOptions(shots=0)
    )

    def used(path: Path) -> object:
        path.write_bytes(before + path.read_bytes())
        changed = read_card(path)
        split.paths(changed.subjects)
        asked = []
        for subject in changed.subjects:
            first = next(iter(read_records(card, split, subject, example)))
            record = replace(first, subject=subject)
            data = TaskData((record,), {}, changed.subjects)
            asked += task.requests(data, spec)
        return asked

    return used


def _customize(root: Path) -> Enter:
    folder = root / "data" / "customize"
    folder.mkdir(parents=True)

    def enter(data: bytes) -> object:
        (folder / "customize.jsonl").write_bytes(data)
        return list(load_customize(str(root / "data")).data.records)

    return enter


def _prompts(path: Path) -> object:
    options = GenerationOptions(max_new_tokens=2, input_texts=(), input_file=str(path))
    return json.dumps([str(prompt) for prompt in read_prompts(options, chat=True)]).encode("utf-8")
