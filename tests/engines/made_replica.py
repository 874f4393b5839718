"""A replica whose model is made up: what it says follows from what it is asked, without vLLM.

A request's id says what becomes of it: `killed`, `refused`, `short of memory`, `slow`, or anything else,
which is answered with the last token of its prompt and the seed it came with.
"""

import os
import signal
import sys
import time

from engines.vllm.replicas import replica
from engines.vllm.replicas.words import Prepared
from modeltest.api import Completion, DeviceError, EngineError, EngineInfo, EngineUsage

CONTEXT = "MADE_CONTEXT"
"""Of the model, by number of the replica: `512,256`."""

START = "import sys; sys.path[:] = sys.argv[2:]; import made_replica; made_replica.main(int(sys.argv[1]))"


class MadeModel:
    def __init__(self, spec, model, *, host_bytes):
        assert host_bytes > 0
        if spec.weights == "none":
            raise EngineError(f"no weights for a world of {spec.world_size}")
        context = int(os.environ.get(CONTEXT, "512"))
        notes = ("all alike", f"context {context}")
        self.info = EngineInfo("vllm", "cpu", "float32", 100, (0,), context, {}, notes=notes)
        self.answered = 0

    def begin(self, spec):
        if spec.seed == 13:
            raise DeviceError("a fresh process loads it anew")
        return self.info

    def answer(self, rows):
        seeds = rows.seeds or [None] * len(rows.encoded)
        for one, seed in zip(rows.encoded, seeds, strict=True):
            name = one.request.id
            if name == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "refused":
                raise EngineError("it is refused")
            if name == "short of memory":
                raise RuntimeError("not enough memory: 3 bytes")
            if name == "slow":
                time.sleep(60)
            self.answered += 1
            yield [Completion(name, text=f"{seed} of {os.getpid()}", output_tokens=one.prompt_ids[-1:])]

    def peak_memory_bytes(self):
        return os.getpid()

    def usage(self):
        return EngineUsage(computed_tokens=self.answered, peak_memory_bytes=os.getpid())

    def close(self):
        sys.stdout.flush()


def main(descriptor):
    replica.OneModel = MadeModel
    replica._prepared = lambda: Prepared("cpu")
    replica.main(descriptor)
