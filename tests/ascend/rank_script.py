"""One rank of a test, started by torchrun: rank 0 does the work and writes what came of it."""

import json
import os
import pickle
import sys
from pathlib import Path

import calls

from engines.mindie.files import RunnerFiles
from engines.mindie.pa import MindiePA


def main(job: Path) -> None:
    """Do the job: `complete` through the engine, or `raw` on PARunner itself."""
    kind, spec, model, batches, batch_size = pickle.loads(job.read_bytes())
    rank = int(os.environ["RANK"])
    if kind == "raw":
        _run_raw(model, rank)
    elif rank == 0:
        done, _, _ = calls.complete(spec, model, batches, batch_size)
        (job.parent / "done").write_bytes(pickle.dumps(done))
    else:
        MindiePA().follow(spec, model)


def _run_raw(model: object, rank: int) -> None:
    """Let each rank write into a folder of its own, so that it shows who writes what."""
    from examples.run_pa import PARunner

    runner = PARunner(
        rank=rank,
        local_rank=rank,
        world_size=2,
        model_path=model.path,
        block_size=128,
        max_batch_size=2,
        max_input_length=32,
        max_output_length=16,
        max_prefill_tokens=-1,
    )
    runner.warm_up()
    texts, _, _ = runner.infer(calls.PROMPTS[:2], 2, 3, False)
    folder = RunnerFiles.of(os.environ).directory
    (folder / "texts.json").write_text(json.dumps(texts))


if __name__ == "__main__":
    if pickle.loads(Path(sys.argv[1]).read_bytes())[0] == "raw":
        # Before anything of the library is imported: it reads them once.
        own = Path(os.environ["ATB_LLM_LOGITS_SAVE_FOLDER"]) / os.environ["RANK"]
        own.mkdir(mode=0o750)
        for name in ("ATB_LLM_LOGITS_SAVE_FOLDER", "ATB_LLM_TOKEN_IDS_SAVE_FOLDER"):
            os.environ[name] = str(own)
        os.environ["ATB_LLM_BENCHMARK_FILEPATH"] = str(own / "benchmark.csv")
    main(Path(sys.argv[1]))
