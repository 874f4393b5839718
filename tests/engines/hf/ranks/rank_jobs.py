"""What two ranks do for `test_ranks_hf.py`: run under torchrun with a file of jobs and one for results.

Rank 0 answers as a worker would; the other follows. A job may make the other's forward passes fail. Whatever
would unpickle what another rank says ends the test.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import torch.distributed
from rank_requests import info_of, requests_of, spec_of
from torch.distributed import distributed_c10d

from engines.hf.engine import HFEngine
from modeltest.api import ModelTestError, Parallel
from modeltest.plain.contracts import to_plain

LAYER_THAT_FAILS = 1


def _refuse_to_unpickle(*_: object) -> None:
    raise AssertionError("a rank unpickles what came over a socket")


pickle.loads = _refuse_to_unpickle
distributed_c10d._tensor_to_object = _refuse_to_unpickle


def main() -> None:
    jobs, results = (Path(argument) for argument in sys.argv[1:])
    done = [
        _run(job, jobs.with_name(f"store_{number}"))
        for number, job in enumerate(json.loads(jobs.read_text()))
    ]
    if os.environ["RANK"] == "0":
        results.write_text(json.dumps(done))


def _run(job: dict, store: Path) -> dict:
    # Every job connects anew, as every run does: not through what the one before left with torchrun.
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(os.environ["RANK"]), world_size=2
    )
    spec = replace(spec_of(job["weights"]), world_size=2, parallel=Parallel(**job.get("parallel", {})))
    engine = HFEngine()
    engine.check(spec, info_of(job["weights"]))
    if os.environ["RANK"] != "0":
        if "failures" in job:
            _let_fail(engine, **job["failures"])
        engine.follow(spec, info_of(job["weights"]))
        return {}
    found = {"info": to_plain(engine.load(spec, info_of(job["weights"]))), "answers": {}, "errors": {}}
    for kind in job["kinds"]:
        try:
            for batch in engine.complete(requests_of(kind), batch_size=job["batch_size"]):
                found["answers"].update({one.request_id: to_plain(one) for one in batch})
        except ModelTestError as problem:
            found["errors"][kind] = f"{type(problem).__name__}: {problem}"
    found["peak"] = engine.peak_memory_bytes()
    found["usage"] = to_plain(engine.usage())
    engine.close()
    return found


def _let_fail(engine: HFEngine, *, message: str, times: int) -> None:
    """Let the first forward passes after loading fail in the middle, saying `message`."""
    left = [times]
    prepare = engine._prepare

    def prepare_and_break(*words: object) -> object:
        answers = prepare(*words)

        def fail(*_: object) -> None:
            if left[0]:
                left[0] -= 1
                raise RuntimeError(message)

        engine._loaded.model.model.layers[LAYER_THAT_FAILS].mlp.register_forward_pre_hook(fail)
        return answers

    engine._prepare = prepare_and_break


if __name__ == "__main__":
    main()
