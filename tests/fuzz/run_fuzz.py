"""Many wrong inputs for every surface: `python tests/fuzz/run_fuzz.py FOLDER [--count 20000] [--only a,b]`.

Prints each kind of finding once, with the seed of its input, and ends with 1 if there is any.
"""

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from surfaces import Surface, one_input, surfaces

from modeltest.api import ModelTestError

SLOW_S = 10.0
STATUSES = {1, 2, 3, 4, 5}


def wrong_end(surface: Surface, data: bytes) -> str | None:
    """Return what is wrong with how `surface` takes in `data`; `None` when it ends as documented."""
    begin = time.monotonic()
    try:
        surface.enter(data)
    except ModelTestError as problem:
        if problem.exit_code not in STATUSES or not str(problem).strip():
            return f"status {problem.exit_code}, or nothing said: {str(problem)[:200]!r}"
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        return f"{type(problem).__name__} in {Path(last.filename).name}:{last.lineno}: {str(problem)[:150]}"
    seconds = time.monotonic() - begin
    return f"took {seconds:.0f} s" if seconds > SLOW_S else None


def fuzz(surface: Surface, count: int) -> Counter:
    """Enter `count` inputs and return the findings, each with its first seed."""
    found: Counter = Counter()
    first: dict[str, int] = {}
    for seed in range(count):
        wrong = wrong_end(surface, one_input(surface, seed))
        if wrong:
            kind = wrong.split(": ")[0]
            found[kind] += 1
            if kind not in first:
                first[kind] = seed
                print(f"  {surface.name} seed {seed}: {wrong}", flush=True)  # noqa: T201
    return found


def main() -> int:
    """Fuzz what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    from fuzz_places import made_places

    wanted = set(filter(None, options.only.split(",")))
    broken = False
    for surface in surfaces(*made_places(options.folder)):
        if wanted and surface.name not in wanted:
            continue
        begin = time.monotonic()
        found = fuzz(surface, options.count)
        broken |= bool(found)
        seconds = time.monotonic() - begin
        said = f"{surface.name}: {options.count} inputs, {sum(found.values())} wrong, {seconds:.0f} s"
        print(said, flush=True)  # noqa: T201
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
