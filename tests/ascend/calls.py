"""What tests have done in a process of its own; every function begins with a fresh import of MindIE."""

import os
from pathlib import Path
from typing import Any

from engines.mindie.benchmark import parse_benchmark
from engines.mindie.files import RunnerFiles
from engines.mindie.pa import MindiePA
from engines.mindie.runner import PagedRunner, RunnerRow
from engines.mindie.sizes import RunnerSize
from modeltest.api import EngineError
from modeltest.data.load import load_dataset
from modeltest.registry import load_engine, load_task
from modeltest.run.worker.accuracy import run_accuracy

PROMPTS = [list(range(30 + 7 * row, 42 + 8 * row)) for row in range(5)]
"""Prompts of different lengths, 12 tokens to 16."""

ROWS = [RunnerRow(tuple(prompt)) for prompt in PROMPTS]


def complete(spec: Any, model: Any, batches: Any, batch_size: int) -> Any:
    """Return the completions of several calls to the engine, by request, and its usage."""
    engine = MindiePA()
    try:
        info = engine.load(spec, model)
        done = [
            {
                one.request_id: one
                for group in engine.complete(iter(batch), batch_size=batch_size)
                for one in group
            }
            for batch in batches
        ]
        return done, info, engine.usage()
    finally:
        engine.close()


def raw_runner(spec: Any, model: Any, rows: int) -> Any:
    """Return a PARunner, warm, that no code of ours stands before."""
    from examples.run_pa import PARunner

    runner = PARunner(
        rank=0,
        local_rank=0,
        world_size=1,
        model_path=model.path,
        block_size=128,
        max_batch_size=rows,
        max_input_length=32,
        max_output_length=16,
        max_prefill_tokens=-1,
    )
    runner.warm_up()
    return runner


def late_benchmark_switch(spec: Any, model: Any) -> bool:
    """Switch times on after the import; return whether they were written."""
    runner = raw_runner(spec, model, 1)
    os.environ["ATB_LLM_BENCHMARK_ENABLE"] = "1"
    runner.infer(PROMPTS[:1], 1, 3, False)
    return Path(os.environ["ATB_LLM_BENCHMARK_FILEPATH"]).exists()


def late_dataset(spec: Any, model: Any) -> tuple[bool, bool]:
    """Name a dataset after the import; return whether logits are saved, and whether after `ENV.update()`."""
    from atb_llm.utils.env import ENV

    runner = raw_runner(spec, model, 1)
    folder = Path(os.environ["ATB_LLM_LOGITS_SAVE_FOLDER"])
    os.environ["MODELTEST_DATASET_SPECIFIED"] = "late"
    os.environ["ATB_LLM_LOGITS_SAVE_ENABLE"] = "1"
    runner.infer(PROMPTS[:1], 1, 1, False)
    before = (folder / "logits_0.pth").exists()
    ENV.update()
    runner.infer(PROMPTS[:1], 1, 1, False)
    return before, (folder / "logits_0.pth").exists()


def end_of_text_after_ignoring_it(spec: Any, model: Any) -> tuple[Any, Any, Any]:
    """Return the runner's end of text before, after its own call, and after ours."""
    raw = raw_runner(spec, model, 1)
    before = raw.model.postprocessor.eos_token_id
    raw.infer(PROMPTS[:1], 1, 3, True)
    after_own = raw.model.postprocessor.eos_token_id
    ours = PagedRunner(spec, model, with_tokenizer=True)
    ours.make(RunnerSize(32, 16, 1))
    ours.infer(ROWS[:1], max_new_tokens=3, ignore_eos=True)
    return before, after_own, ours.raw.model.postprocessor.eos_token_id


def repeated_prompt(spec: Any, model: Any) -> tuple[int, int]:
    """Return how many texts a single prompt gives at batch 4, without and with our code before it."""
    texts, _, _ = raw_runner(spec, model, 4).infer(PROMPTS[:1], 4, 2, False)
    ours = PagedRunner(spec, model, with_tokenizer=True)
    ours.make(RunnerSize(32, 16, 4))
    return len(texts), len(ours.infer(ROWS[:1], max_new_tokens=2, ignore_eos=False).texts)


def more_prompts_than_rows(spec: Any, model: Any) -> tuple[list[Any], list[Any], str]:
    """Return texts of five prompts two at a time, texts of each alone, and what reading the logits says."""
    runner = raw_runner(spec, model, 2)
    files = RunnerFiles.of(os.environ)
    files.clear()
    together, _, _ = runner.infer(PROMPTS, 5, 6, True)
    try:
        files.read_last_logits(len(PROMPTS), runner.model.config.vocab_size, runner.dtype)
    except EngineError as problem:
        said = str(problem)
    else:
        said = "nothing"
    alone = [runner.infer([prompt], 1, 6, True)[0][0] for prompt in PROMPTS]
    return together, alone, said


def counted_and_saved(spec: Any, model: Any) -> tuple[list[Any], list[tuple[int, ...]], list[int], list[int]]:
    """Return token_nums, the saved ids, the likeliest token of each row of logits, and the files' modes."""
    runner = raw_runner(spec, model, 5)
    files = RunnerFiles.of(os.environ)
    files.clear()
    _, counts, _ = runner.infer(PROMPTS, 5, 6, False)
    files.check_inputs(PROMPTS)
    ids = [files.read_output_ids(row) for row in range(5)]
    logits = files.read_last_logits(5, runner.model.config.vocab_size, runner.dtype)
    names = ("logits_0.pth", "input_ids_0.pth", "output_ids_0.txt")
    modes = [(files.directory / name).stat().st_mode & 0o777 for name in names]
    return list(counts), ids, logits.argmax(dim=-1).tolist(), modes


def benchmark(spec: Any, model: Any) -> tuple[str, Any]:
    """Return benchmark.csv of three equal prompts and ten tokens, as text and as read."""
    runner = raw_runner(spec, model, 3)
    runner.infer([PROMPTS[0]] * 3, 3, 10, True)
    text = Path(os.environ["ATB_LLM_BENCHMARK_FILEPATH"]).read_text(encoding="utf-8")
    return text, parse_benchmark(text)


def leftovers(spec: Any, model: Any) -> tuple[list[str], list[str]]:
    """Return the files of ids after four prompts and then two, without and with our clearing."""
    runner = raw_runner(spec, model, 4)
    files = RunnerFiles.of(os.environ)
    runner.infer(PROMPTS[:4], 4, 2, False)
    runner.infer(PROMPTS[:2], 2, 2, False)
    left = sorted(path.name for path in files.directory.glob("output_ids_*"))
    files.clear()
    runner.infer(PROMPTS[:2], 2, 2, False)
    return left, sorted(path.name for path in files.directory.glob("output_ids_*"))


def more_than_fits(spec: Any, model: Any, size: RunnerSize) -> Any:
    """Run a batch that does not fit through our runner, and then one that does."""
    ours = PagedRunner(spec, model, with_tokenizer=True)
    said = "nothing"
    try:
        ours.make(size)
        ours.infer(ROWS[: size.rows], max_new_tokens=2, ignore_eos=False)
    except EngineError as problem:
        said = f"{type(problem).__name__}: {problem}"
    ours.make(RunnerSize(32, 16, 1))
    return said, len(ours.infer(ROWS[:1], max_new_tokens=2, ignore_eos=False).texts)


def only_import(spec: Any, model: Any) -> str:
    """Import the library and return where it profiles to."""
    from atb_llm.utils.env import ENV

    return str(ENV.profiling_filepath)


def ask(spec: Any, model: Any, tasks: Any) -> dict[str, Any]:
    """Return the scores of each task's spec by question, asked through the engine that `spec` names."""
    engine = load_engine(spec.engine)
    try:
        engine.load(spec, model)
        found = {}
        for of_task in tasks:
            task = load_task(of_task.task)
            dataset = load_dataset(
                task.dataset,
                of_task.split,
                data_dir=None,
                subjects=of_task.subjects,
                limit=of_task.limit,
                shots_needed=bool(of_task.options.shots),
            )
            batches = run_accuracy(task, engine, dataset.data, of_task)
            found[of_task.mode] = {one.score.request_id: one for batch in batches for one in batch}
        return found
    finally:
        engine.close()


def logits_left(spec: Any, model: Any, batches: Any, batch_size: int) -> list[list[str]]:
    """Return which logits each call to the engine leaves."""
    engine = MindiePA()
    folder = Path(os.environ["ATB_LLM_LOGITS_SAVE_FOLDER"])
    left = []
    try:
        engine.load(spec, model)
        for batch in batches:
            for _ in engine.complete(iter(batch), batch_size=batch_size):
                pass
            left.append(sorted(path.name for path in folder.glob("logits_*")))
    finally:
        engine.close()
    return left
