"""Shows how true the times of the engine `openai` are: against a server of known times, and a real vLLM.

    python benchmarks/endpoint_times.py [--streams 1,8,32] [--trials 5] [--tokens 64]
    python benchmarks/endpoint_times.py --vllm-python PYTHON --model DIR

The server of known times sends 20 tokens a second per stream, from one core, and writes down on the monotonic
clock when it sends; the engine runs on another. Its times have to be within 1 ms, or 1 % where that is more:
TTFT from the moment a request was written (client) or had arrived (server) to its first token, gaps between
tokens, and the time per token of each stream (TPOT). When a request had arrived is told by the kernel: a
server in Python reads 32 of them one after another, and its own clock would be late. A client cannot be
early: what it is late by is the way there and back, its own delay, and the server's between the clock and the
socket.

On a machine with other work to do, `chrt -f 10 python benchmarks/endpoint_times.py` keeps that out of the
times, where real-time priorities are allowed: without it a client that does not come to read finds several
tokens in one read.

With a real vLLM the means are held against its own metrics: differences of sums and counts between two
readings, never quantiles of buckets. Its TTFT begins when it has read the request and ends in its engine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "endpoint_servers"))


def main() -> None:
    """Print a table, and end with status 1 where the goal is missed."""
    words = _words()
    from endpoint_timing.asking import Batch

    streams = [int(each) for each in words.streams.split(",")]
    batches = [Batch(count, words.input_tokens, words.tokens) for count in streams]
    cores = _cores()
    with tempfile.TemporaryDirectory(prefix="endpoint-times-") as folder:
        if words.vllm_python is not None:
            from endpoint_timing import real_vllm

            python, model = Path(words.vllm_python).absolute(), Path(words.model)
            beside = real_vllm.beside_vllm(
                python, model, Path(folder), batches, trials=words.trials, cores=cores
            )
            print(real_vllm.table(beside))
            return
        from endpoint_timing import deviations, known_times
        from endpoint_timing.deviations import GOAL

        found = known_times.against_known_times(
            Path(folder),
            batches,
            trials=words.trials,
            cores=cores,
            first_ms=words.first_ms,
            gap_ms=words.gap_ms,
        )
    print(deviations.table(found))
    is_met = all(map(deviations.is_met, found))
    print(f"\n{'met' if is_met else 'missed'}: {GOAL:.0%} of the times of each kind within 1 ms or 1 %")
    sys.exit(0 if is_met else 1)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of a stream")
    parser.add_argument("--input-tokens", type=int, default=32)
    parser.add_argument("--first-ms", type=float, default=100.0)
    parser.add_argument("--gap-ms", type=float, default=50.0)
    parser.add_argument("--vllm-python", help="the Python of an environment with vLLM")
    parser.add_argument("--model", help="the checkpoint that vLLM serves")
    words = parser.parse_args()
    if (words.vllm_python is None) != (words.model is None):
        parser.error("--vllm-python and --model go together")
    return words


def _cores() -> tuple[int, int]:
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("server and client need a core each; this process may use one")
    return available[0], available[1]


if __name__ == "__main__":
    main()
