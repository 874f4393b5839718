"""The step `accuracy`: questions and texts, by ModelTest in two ways, lm-eval and transformers' generate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lm_eval_comparison import machine
from lm_eval_comparison.agreement import Answer, compare, read_lm_eval
from lm_eval_comparison.lm_eval_tasks import write_tasks
from lm_eval_comparison.works import WORKS
from on_device.bench import Bench
from on_device.questions import SHOTS, SUBJECTS, TASK, read_questions, split_of
from on_device.sizes import Sized

STEP = "accuracy"
BATCH_SIZES = (8, 32)
QUESTIONS, QUICK_QUESTIONS = 100, 2
"""Of each of four subjects, as far as there are so many."""

PROMPTS, QUICK_PROMPTS = 32, 4
NEW_TOKENS, QUICK_NEW_TOKENS = 64, 8

Answers = Mapping[str, Answer]


def accuracy(bench: Bench) -> None:
    """Note times, tokens, memory and agreement for every model."""
    data_dir = bench.settings.data_dir
    questions = read_questions(data_dir, _limit(bench))
    figures = {"task": TASK, "rows": split_of(data_dir), "shots": SHOTS, "questions": len(questions.records)}
    bench.book.ran(STEP, "data", figures)
    if machine.installed("lm_eval") is None:
        bench.book.skipped(STEP, "lm-eval", "lm-eval is not installed: ModelTest has nothing beside it")
    for sized in bench.settings.sizes:
        model = bench.checkpoint(STEP, sized, copies=1)
        if model is not None:
            _Model(bench, sized, model).measure()


class _Model:
    """One model: every side of it, each in a process of its own."""

    def __init__(self, bench: Bench, sized: Sized, model: Path) -> None:
        self._bench = bench
        self._name = sized.name
        self._order = {
            "model": str(model),
            "dtype": sized.dtype,
            "device": bench.settings.device,
            "data_dir": bench.settings.data_dir,
            "limit": _limit(bench),
            "batch_sizes": _batch_sizes(bench),
        }

    def measure(self) -> None:
        """Run all sides, then hold them against each other."""
        packed, padded = (self._choices(way) for way in ("packed", "padded"))
        theirs = {}
        if machine.installed("lm_eval") is not None:
            theirs = {size: self._lm_eval(size) for size in _batch_sizes(self._bench)}
        for size in _batch_sizes(self._bench):
            self._compare(size, packed, padded, theirs.get(size))
        self._texts()

    def _choices(self, way: str) -> dict[str, Any] | None:
        return self._side(f"hf {way}", "on_device.choices_side", {"way": way}, told="answers")

    def _texts(self) -> None:
        quick = self._bench.settings.quick
        more = {
            "prompts": QUICK_PROMPTS if quick else PROMPTS,
            "new_tokens": QUICK_NEW_TOKENS if quick else NEW_TOKENS,
        }
        ours, theirs = (
            self._side(f"texts {way}", "on_device.texts_side", {**more, "way": way}, told="texts")
            for way in ("modeltest", "generate")
        )
        if ours is None or theirs is None:
            return
        for size in map(str, _batch_sizes(self._bench)):
            one, other = ours["batch_sizes"][size], theirs["batch_sizes"][size]
            figures = {
                "prompts": more["prompts"],
                "equal_texts": sum(one["texts"][key] == other["texts"][key] for key in one["texts"]),
                "times_faster_than_generate": one["tokens_per_s"] / other["tokens_per_s"],
            }
            self._bench.book.ran(STEP, f"{self._name} texts compared, batch {size}", figures)

    def _side(self, name: str, module: str, more: Mapping[str, Any], *, told: str) -> dict[str, Any] | None:
        """Run a side; what it `told` of each question stays in its own file, the figures go into the book."""
        part = f"{self._name} {name}"
        found = self._bench.run(STEP, part, module, {**self._order, **more})
        if found is not None:
            sizes = {
                size: {key: value for key, value in figures.items() if key != told}
                for size, figures in found["batch_sizes"].items()
            }
            self._bench.book.ran(STEP, part, {**found, "batch_sizes": sizes})
        return found

    def _lm_eval(self, batch_size: int) -> tuple[dict[str, Any], Answers] | None:
        part = f"{self._name} lm-eval, batch {batch_size}"
        data_dir = self._bench.settings.data_dir
        tasks = self._bench.part_folder(STEP, f"{part} tasks")
        work = replace(WORKS[TASK], subjects=SUBJECTS[split_of(data_dir)])
        try:
            names = write_tasks(work, read_questions(data_dir, _limit(self._bench)), tasks)
        except FileNotFoundError as problem:  # another release of lm-eval
            self._bench.book.failed(STEP, part, str(problem))
            return None
        order = {
            **self._order,
            "softmax_dtype": None,
            "tasks": names,
            "tasks_directory": str(tasks),
            "batch_size": batch_size,
        }
        found = self._bench.run(STEP, part, "lm_eval_comparison.lm_eval_side", order)
        if found is None:
            return None
        self._bench.book.ran(STEP, part, found)
        return found, read_lm_eval(self._bench.part_path(STEP, part) / "samples.jsonl")

    def _compare(
        self,
        size: int,
        packed: dict[str, Any] | None,
        padded: dict[str, Any] | None,
        theirs: tuple[dict[str, Any], Answers] | None,
    ) -> None:
        if packed is None:
            return
        ours = packed["batch_sizes"][str(size)]
        figures: dict[str, Any] = {}
        if padded is not None:
            other = padded["batch_sizes"][str(size)]
            figures["padded"] = _beside(ours, other["answer_s"], _answers(other))
        if theirs is not None:
            figures["lm-eval"] = _beside(ours, theirs[0]["evaluate_s"], theirs[1])
        if figures:
            self._bench.book.ran(STEP, f"{self._name} compared, batch {size}", figures)


def _beside(ours: Mapping[str, Any], seconds: float, answers: Answers) -> dict[str, Any]:
    return {"times_faster": seconds / ours["answer_s"], "agreement": asdict(compare(_answers(ours), answers))}


def _answers(figures: Mapping[str, Any]) -> Answers:
    return {
        name: Answer(tuple(each["logprobs"]), each["prompt_sha256"])
        for name, each in figures["answers"].items()
    }


def _limit(bench: Bench) -> int:
    return QUICK_QUESTIONS if bench.settings.quick else QUESTIONS


def _batch_sizes(bench: Bench) -> tuple[int, ...]:
    return BATCH_SIZES[:1] if bench.settings.quick else BATCH_SIZES
