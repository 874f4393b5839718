"""Many wrong inputs for every surface: `python tests/fuzz/run_fuzz.py FOLDER [--count 20000] [--only a,b]`.

Prints each kind of finding once, with the seed of its input, and ends with 1 if there is any. The seeds are
others than those of the suite, which begin with 0.
"""

import argparse
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from in_child import Ended
from surface import Surface, one_input

from modeltest.api import ModelTestError

FIRST_SEED = 10_000_000_000
SLOW_S = 10.0
"""Processor time for one input; endless loops end at it."""

LONGEST_MESSAGE = 6100
STATUSES = {1, 2, 3, 4, 5}


class Endless(BaseException):
    """An input takes too long."""


def wrong_end(surface: Surface, data: bytes) -> str | None:
    """Return what is wrong with how `surface` takes in `data`; `None` when it ends as documented."""

    def endless(*_: object) -> None:
        raise Endless(f"more than {SLOW_S:.0f} s of processor time")

    before = signal.signal(signal.SIGPROF, endless)
    signal.setitimer(signal.ITIMER_PROF, SLOW_S)
    try:
        surface.enter(data)
    except ModelTestError as problem:
        return _wrong_message(problem)
    except KeyboardInterrupt:
        raise
    except Ended as problem:
        return str(problem)
    except BaseException as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        return f"{type(problem).__name__} in {Path(last.filename).name}:{last.lineno}: {str(problem)[:150]!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return None


def _wrong_message(problem: ModelTestError) -> str | None:
    """Return what is wrong with an error that ends a command: it has a status and one line."""
    said = str(problem)
    if problem.exit_code not in STATUSES:
        return f"status {problem.exit_code}: {said[:200]!r}"
    if not said.strip():
        return "nothing said"
    lines = said.replace("\n", " ") if problem.has_lines else said
    if odd := [character for character in lines if not character.isprintable()]:
        return f"a line with {odd[0]!r}: {said[:200]!r}"
    if len(said) > LONGEST_MESSAGE:
        return f"a line of many characters: {len(said)}, {said[:200]!r}"
    return None


def fuzz(surface: Surface, seeds: range) -> Counter:
    """Enter the inputs of `seeds` and return the findings by kind; each is shown once."""
    found: Counter = Counter()
    for seed in seeds:
        wrong = wrong_end(surface, one_input(surface, seed))
        if wrong:
            kind = re.sub(r"\d+ characters", "N characters", wrong.split(": ")[0])
            if not found[kind]:
                print(f"  {surface.name} seed {seed}: {wrong}", flush=True)  # noqa: T201
            found[kind] += 1
    return found


def main() -> int:
    """Fuzz what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    from fuzz_places import made_places
    from surfaces import surfaces

    known = surfaces(made_places(options.folder))
    broken = False
    for name in filter(None, options.only.split(",")) if options.only else known:
        begin, processor = time.monotonic(), time.process_time()
        found = fuzz(known[name], range(options.first, options.first + options.count))
        broken |= bool(found)
        seconds, busy = time.monotonic() - begin, time.process_time() - processor
        print(  # noqa: T201
            f"{name}: {options.count} inputs, {sum(found.values())} wrong, {seconds:.0f} s on the clock, "
            f"{1000 * busy / options.count:.1f} ms of this process each; {dict(found)}",
            flush=True,
        )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
