"""Signals at random moments of real commands, and what is left when they are given again.

    python tests/modeltest/run/signal_trials.py FOLDER [--count 200] [--seed 0] [--only accuracy_hf,...]

Each trial starts a command, sends it a signal, a third of them while reports are written, gives it again
(with `--resume` where there is one) and compares what came with an undisturbed run: no exit 70, no traceback,
nothing that was journalled lost, the same results. Prints a table and ends with 1 if one of them is broken.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "modeltest"]
SIGNALS = {
    "INT": [signal.SIGINT],
    "INT twice": [signal.SIGINT, signal.SIGINT],
    "TERM": [signal.SIGTERM],
    "HUP": [signal.SIGHUP],
    "KILL": [signal.SIGKILL],
}
OWN_FILES = {"run.json", "samples.jsonl", "log.txt"}
PATIENCE_S = 300


@dataclass(frozen=True)
class Kind:
    """A command that is disturbed: its words behind `modeltest`, and what must be the same in the end."""

    words: Callable[[Path], list[str]]
    facts: Callable[[Path], Any]
    resumes: str | None = "run"
    """The command that goes on with its directory; `None`: it is given again as it was."""


@dataclass(frozen=True)
class Trial:
    """What came of one signal."""

    kind: str
    sent: str
    in_reports: bool
    status: int
    problem: str | None


def entries(directory: Path, name: str) -> list[Any]:
    """Return the whole lines of a journal that hold a `name`."""
    path = directory / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [entry[name] for entry in found if name in entry]


def only_folder(output: Path) -> Path | None:
    """Return the one directory of a run or suite in `output`, if it has come to that."""
    found = [folder for folder in output.glob("*") if folder.is_dir() and list(folder.glob("*.json"))]
    return max(found) if found else None


def answers(output: Path) -> Any:
    """Return what was answered to each question."""
    folder = only_folder(output)
    assert folder is not None
    result = json.loads((folder / "run.json").read_text())
    scores = [entry["score"] for entry in entries(folder, "sample")]
    return (
        result["status"],
        result["verdict"],
        sorted((each["request_id"], each["predicted"]) for each in scores),
    )


def shapes(output: Path) -> Any:
    """Return which batches were measured; times are no two times the same."""
    folder = only_folder(output)
    assert folder is not None
    result = json.loads((folder / "run.json").read_text())
    trials = {(each["case_index"], each["batch_size"]) for each in entries(folder, "measurement")}
    return result["status"], len(result["summary"]["cases"]), sorted(trials)


def searched(output: Path) -> Any:
    """Return that a search came to its end; which batch it ends at depends on times."""
    folder = only_folder(output)
    assert folder is not None
    result = json.loads((folder / "run.json").read_text())
    return result["status"], len(result["summary"]["cases"])


def summary(output: Path) -> Any:
    """Return the numbers of a run whose journal is another's."""
    folder = only_folder(output)
    assert folder is not None
    result = json.loads((folder / "run.json").read_text())
    return result["status"], result["verdict"], result["summary"]


def suite(output: Path) -> Any:
    """Return how the runs of a suite ended."""
    folder = only_folder(output)
    assert folder is not None
    plain = json.loads((folder / "suite.json").read_text())
    return plain["status"], [(each["name"], each["status"], each["verdict"]) for each in plain["runs"]]


def files(pattern: str) -> Callable[[Path], Any]:
    """Return a function from a folder to names and contents of files that are the same each time."""

    def of(output: Path) -> Any:
        return sorted(
            (path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in output.glob(pattern)
        )

    return of


def names(pattern: str) -> Callable[[Path], Any]:
    """Return a function from a folder to the names of files that hold a time."""
    return lambda output: sorted(str(path.relative_to(output)) for path in output.glob(pattern))


def prepare(folder: Path, *, quick: bool = False) -> dict[str, Kind]:
    """Make models and runs in `folder`, and return what is disturbed; `quick`: without models."""
    fp32, fp16 = folder / "fp32", folder / "fp16"
    for path, dtype in ((fp32, "fp32"), (fp16, "fp16")):
        if not path.exists() and not quick:
            _done(["demo-model", "llama", str(path), "--dtype", dtype], folder)
    torn = folder / "torch"
    if not torn.exists() and not quick:
        _as_torch(fp32, torn)
    runs = folder / "runs"
    for name in ("one", "two"):
        if not (runs / name).exists():
            _done(["fake", "sample_BoolQ", "4", "llama", "none", "1", "--output", str(runs / name)], folder)
    one, two = (str(only_folder(runs / name)) for name in ("one", "two"))
    suite_file = folder / "suite.yaml"
    suite_file.write_text(
        f"models: [{fp32}]\nengines: [hf]\ntasks:\n"
        "  - accuracy: {task: [boolq, mmlu], split: sample, limit: 4}\n"
    )
    stand_in = ["--engine-option", "stand_in=yes"]

    def ask(engine: str, model: Path, *more: str) -> Callable[[Path], list[str]]:
        words = ["accuracy", "--task", "boolq", "--split", "sample", "--engine", engine, "--batch-size", "2"]
        return lambda output: [*words, "--model", str(model), "--limit", "8", *more, "--output", str(output)]

    def to(*words: str) -> Callable[[Path], list[str]]:
        return lambda output: [*words, "--output", str(output)]

    def timed(engine: str, model: Path, *more: str) -> Callable[[Path], list[str]]:
        words = ("--case", "16,4", "--batch-size", "2", "--quick")
        return to("performance", *words, "--engine", engine, "--model", str(model), *more)

    limit = ("--case", "16,4", "--range", "1,4", "--limit-ms", "1000", "--quick")
    texts = ("--input-text", "one", "--input-text", "two", "--model", str(fp32))
    return {
        "accuracy_fake": Kind(to("fake", "sample_BoolQ", "4", "llama", "none", "1"), answers),
        "accuracy_hf": Kind(ask("hf", fp32), answers),
        "accuracy_paged": Kind(ask("hf_paged", fp32), answers),
        "accuracy_mindie": Kind(ask("mindie_pa", fp16, *stand_in), answers),
        "performance_fake": Kind(
            to("fake", "performance", "[[16,4]]", "[1,2]", "llama", "none", "1"), shapes
        ),
        "performance_hf": Kind(timed("hf", fp32), shapes),
        "performance_paged": Kind(timed("hf_paged", fp32), shapes),
        "maxbs_fake": Kind(to("maxbs", "--engine", "fake", "--model", "none", *limit), searched),
        "maxbs_hf": Kind(to("maxbs", "--engine", "hf", "--model", str(fp32), *limit), searched),
        "generate": Kind(to("generate", *texts), summary),
        "lm_eval": Kind(
            lambda output: [*_lm_eval(folder, fp32), "--output", str(output)], summary, resumes=None
        ),
        "suite": Kind(to("suite", str(suite_file)), suite, resumes="suite"),
        "compare": Kind(to("compare", one, two), names("*"), resumes=None),
        "dashboard": Kind(
            lambda output: ["dashboard", str(runs), "--out", str(output)], names("**/*.html"), resumes=None
        ),
        "convert": Kind(
            lambda output: ["convert", "--model", str(torn), "--output", str(output / "m")],
            files("m/*.safetensors"),
            resumes=None,
        ),
    }


def undisturbed(kind: Kind, output: Path) -> tuple[Any, float]:
    """Return the facts of a run that nobody disturbs, and how many seconds it takes."""
    output.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    _done(kind.words(output), output)
    return kind.facts(output), time.monotonic() - begin


def try_one(
    name: str, kind: Kind, output: Path, right: Any, *, sent: str, moment_s: float, in_reports: bool
) -> Trial:
    """Disturb one command and say what came of it."""
    output.mkdir(parents=True)
    with (output.parent / f"{output.name}.err").open("w+") as said:
        process = subprocess.Popen(
            [*COMMAND, *kind.words(output)], stdout=subprocess.DEVNULL, stderr=said, cwd=output.parent
        )
        if in_reports:
            _await_reports(process, output)
        _sleep(process, moment_s)
        for number in SIGNALS[sent]:
            process.send_signal(number)
            time.sleep(0.1 if len(SIGNALS[sent]) > 1 else 0)
        status = process.wait(timeout=PATIENCE_S)
        said.seek(0)
        text = said.read()
    problem = _wrong_end(status, text, sent) or _after(kind, output, right)
    return Trial(name, sent, in_reports, status, problem)


def _wrong_end(status: int, text: str, sent: str) -> str | None:
    number = SIGNALS[sent][0]
    # Below zero: before ModelTest has taken the signals over, or SIGKILL.
    if status not in {0, 128 + number, -number}:
        return f"status {status}: {text[-300:]}"
    if status >= 0 and "Traceback" in text:
        return f"a traceback: {text[-300:]}"
    return None


def _after(kind: Kind, output: Path, right: Any) -> str | None:
    """Give the command again and return what is wrong then."""
    folder = only_folder(output) if kind.resumes else None
    before = entries(folder, "sample") + entries(folder, "measurement") if folder else []
    if folder is not None and "failed" in json.loads(next(folder.glob("*.json")).read_text()).get(
        "status", ""
    ):
        return f"{folder} says that it failed"
    if kind.resumes is None and any(output.iterdir()) and kind.facts(output) == right:
        return None  # it was done: `convert` replaces nothing unasked
    words = [kind.resumes or "", "--resume", str(folder)] if folder else kind.words(output)
    again = subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, timeout=PATIENCE_S, cwd=output.parent
    )
    if again.returncode not in {0, 1} or (again.returncode and kind.resumes):
        return f"given again: status {again.returncode}: {again.stderr[-300:]}"
    if folder is not None:
        after = entries(folder, "sample") + entries(folder, "measurement")
        if after[: len(before)] != before:
            return "what was journalled is lost"
    found = kind.facts(output)
    return None if found == right else f"other results: {str(found)[:300]} instead of {str(right)[:300]}"


def _await_reports(process: subprocess.Popen, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        found = {path.name for folder in output.glob("*") if folder.is_dir() for path in folder.iterdir()}
        if any(not name.startswith(".") and name not in OWN_FILES for name in found):
            return
        time.sleep(0.01)


def _sleep(process: subprocess.Popen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _done(words: list[str], cwd: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, timeout=PATIENCE_S, cwd=cwd
    )
    assert done.returncode in {0, 1}, done.stderr


def _as_torch(model: Path, target: Path) -> None:
    import torch
    from safetensors.torch import load_file

    target.mkdir()
    torch.save(load_file(model / "model.safetensors"), target / "pytorch_model.bin")
    for path in model.glob("*.json"):
        (target / path.name).write_bytes(path.read_bytes())


def _lm_eval(folder: Path, model: Path) -> list[str]:
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    (tasks / "rows.jsonl").write_text(
        "".join(json.dumps({"q": f"{i}+1=", "a": str(i + 1)}) + "\n" for i in range(6))
    )
    (tasks / "sums.yaml").write_text(
        "task: sums\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tasks / 'rows.jsonl'}}}}}\n"
        "test_split: test\noutput_type: loglikelihood\ndoc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\n"
        "metric_list:\n  - metric: acc\n"
    )
    return ["lm-eval", "--tasks", "sums", "--include-path", str(tasks), "--model", str(model)]


def run_trials(
    folder: Path, kinds: Mapping[str, Kind], *, count: int, seed: int, tell: Callable[[str], None]
) -> list[Trial]:
    """Disturb `count` commands of `kinds` in turn; equal seeds choose equal signals and moments."""
    dice = random.Random(seed)
    known: dict[str, tuple[Any, float]] = {}
    trials = []
    for number in range(count):
        name = list(kinds)[number % len(kinds)]
        if name not in known:
            known[name] = undisturbed(kinds[name], folder / f"undisturbed_{seed}_{name}")
        right, seconds = known[name]
        in_reports = number // len(kinds) % 3 == 2 or (count <= len(kinds) and number % 3 == 2)
        trial = try_one(
            name,
            kinds[name],
            folder / f"trial_{seed}_{number}",
            right,
            sent=dice.choice(list(SIGNALS)),
            moment_s=dice.uniform(0, 1.5 if in_reports else seconds),
            in_reports=in_reports,
        )
        tell(f"{number} {trial}")
        trials.append(trial)
    return trials


def table(trials: list[Trial]) -> str:
    """Return how many signals each kind got, and how many of them broke something."""
    lines = ["| command | signals | while reports | ended before | broken |", "|---|---|---|---|---|"]
    for name, count in Counter(trial.kind for trial in trials).items():
        of = [trial for trial in trials if trial.kind == name]
        reports, early = sum(t.in_reports for t in of), sum(t.status == 0 for t in of)
        lines.append(f"| {name} | {count} | {reports} | {early} | {sum(t.problem is not None for t in of)} |")
    return "\n".join(lines)


def main() -> int:
    """Run the trials that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    # A shell starts background jobs with SIGINT ignored, and the commands would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = prepare(folder)
    kinds = {
        name: kind for name, kind in kinds.items() if not options.only or name in options.only.split(",")
    }
    trials = run_trials(
        folder,
        kinds,
        count=options.count,
        seed=options.seed,
        tell=lambda line: print(line, flush=True),  # noqa: T201
    )
    print(table(trials))  # noqa: T201
    return int(any(trial.problem for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
