"""The commands that get signals in `signal_trials.py`, and what must be the same after all of them."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalled_process import COMMAND, PATIENCE_S

Journals = dict[str, list[bytes]]
JOURNAL, RUN, SUITE = "samples.jsonl", "run.json", "suite.json"


@dataclass(frozen=True)
class Kind:
    """A command that is disturbed: its words behind `modeltest`, and what must be the same in the end."""

    words: Callable[[Path], list[str]]
    facts: Callable[[Path], Any]
    resumes: str | None = "run"
    """The command that goes on with its directory; `None`: it is given again as it was."""

    goes_on: bool = True
    """A worker that is killed is replaced. That of another harness, which has no journal, is not."""

    @property
    def has_worker(self) -> bool:
        """Say whether the command has a worker process."""
        return self.resumes is not None or not self.goes_on

    def is_writing(self, output: Path) -> bool:
        """Say whether reports are being written now: those of a run, of a suite, or the command's files."""
        if not self.has_worker:
            return any(path.is_file() for path in output.rglob("*"))
        return any(_is_reporting(path) for path in output.rglob("*.json"))


def _is_reporting(path: Path) -> bool:
    if path.name not in {RUN, SUITE}:
        return False
    found = _read(path)
    if path.name == SUITE:  # which says how the runs ended before its reports are written
        return found.get("status") == "complete"
    # The supervisor writes how long the work took when the worker has said that it is done.
    return found.get("status") == "running" and "run" in found.get("timing_s", {})


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return {}


def only_folder(output: Path) -> Path | None:
    """Return the last directory of a run or suite in `output`, if it has come to that."""
    found = [folder for folder in output.glob("*") if folder.is_dir() and list(folder.glob("*.json"))]
    return max(found) if found else None


def journals(folder: Path | None) -> Journals:
    """Return the whole lines of every journal in a directory of a run or suite."""
    paths = [] if folder is None else sorted(folder.rglob(JOURNAL))
    return {str(path.relative_to(folder)): _whole_lines(path) for path in paths}


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def is_kept(before: Journals, after: Journals) -> bool:
    """Say whether every line of `before` is still where it was."""
    return all(after.get(name, [])[: len(lines)] == lines for name, lines in before.items())


def entries(folder: Path, name: str) -> list[Any]:
    """Return the entries of that name in the journal of a run."""
    found = map(json.loads, _whole_lines(folder / JOURNAL))
    return [entry[name] for entry in found if name in entry]


def _run_of(output: Path) -> tuple[Path, dict[str, Any]]:
    folder = only_folder(output)
    assert folder is not None
    return folder, json.loads((folder / RUN).read_text())


def answers(output: Path) -> Any:
    """Return what was answered to each question, and the files of the run."""
    folder, result = _run_of(output)
    scores = [entry["score"] for entry in entries(folder, "sample")]
    answered = sorted((each["request_id"], each["predicted"]) for each in scores)
    return result["status"], result["verdict"], answered, _names_in(folder)


def shapes(output: Path) -> Any:
    """Return which batches were measured; times are no two times the same."""
    folder, result = _run_of(output)
    trials = {(each["case_index"], each["batch_size"]) for each in entries(folder, "measurement")}
    return result["status"], len(result["summary"]["cases"]), sorted(trials), _names_in(folder)


def searched(output: Path) -> Any:
    """Return that a search came to its end; which batch it ends at depends on times."""
    folder, result = _run_of(output)
    return result["status"], len(result["summary"]["cases"]), _names_in(folder)


def texts(output: Path) -> Any:
    """Return what was generated."""
    folder, result = _run_of(output)
    return result["status"], result["verdict"], result["summary"], _names_in(folder)


def metrics(output: Path) -> Any:
    """Return the numbers of another harness, whose files have times in their names."""
    _, result = _run_of(output)
    return result["status"], result["verdict"], result["summary"]["metrics"]


def suite(output: Path) -> Any:
    """Return how the runs of a suite ended."""
    folder = only_folder(output)
    assert folder is not None
    plain = json.loads((folder / SUITE).read_text())
    runs = [(each["name"], each["status"], each["verdict"]) for each in plain["runs"]]
    return plain["status"], plain["exit_status"], runs, _names_in(folder)


def contents(output: Path) -> Any:
    """Return names and contents of files that are the same each time."""
    paths = [path for path in output.rglob("*") if path.is_file()]
    return sorted(
        (str(path.relative_to(output)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths
    )


def names(output: Path) -> Any:
    """Return the names of files that hold a time."""
    return _names_in(output)


def _names_in(folder: Path) -> list[str]:
    """Return the names of all files: of one that was being written nothing may be left."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def prepare(folder: Path, *, quick: bool = False) -> dict[str, Kind]:
    """Make models and runs in `folder`, and return what is disturbed; `quick`: without models."""
    fp32, fp16, torch = folder / "fp32", folder / "fp16", folder / "torch"
    if not quick:
        for path, dtype in ((fp32, "fp32"), (fp16, "fp16")):
            if not path.exists():
                done(["demo-model", "llama", str(path), "--dtype", dtype], folder)
        if not torch.exists():
            _as_torch(fp32, torch)
    runs = folder / "runs"
    for name in ("one", "two"):
        if not (runs / name).exists():
            done(["fake", "sample_BoolQ", "4", "llama", "none", "1", "--output", str(runs / name)], folder)
    kinds = {**_of_the_stand_in(), **_of_finished_runs(runs)}
    return (
        kinds
        if quick
        else {**kinds, **_of_models(fp32, fp16), **_of_harness(folder, fp32), **_of_files(torch)}
    )


LIMIT = ("--case", "16,4", "--range", "1,4", "--limit-ms", "1000", "--quick")


def _to(*words: str) -> Callable[[Path], list[str]]:
    return lambda output: [*words, "--output", str(output)]


def _of_the_stand_in() -> dict[str, Kind]:
    return {
        "accuracy_fake": Kind(_to("fake", "sample_BoolQ", "4", "llama", "none", "1"), answers),
        "performance_fake": Kind(
            _to("fake", "performance", "[[16,4]]", "[1,2]", "llama", "none", "1"), shapes
        ),
        "maxbs_fake": Kind(_to("maxbs", "--engine", "fake", "--model", "none", *LIMIT), searched),
    }


def _of_finished_runs(runs: Path) -> dict[str, Kind]:
    one, two = (str(only_folder(runs / name)) for name in ("one", "two"))
    return {
        "compare": Kind(_to("compare", one, two), names, resumes=None),
        "dashboard": Kind(lambda output: ["dashboard", str(runs), "--out", str(output)], names, resumes=None),
    }


def _of_models(fp32: Path, fp16: Path) -> dict[str, Kind]:
    def ask(engine: str, model: Path, *more: str) -> Callable[[Path], list[str]]:
        asked = ("--task", "boolq", "--split", "sample", "--limit", "8", "--batch-size", "2")
        return _to("accuracy", *asked, "--engine", engine, "--model", str(model), *more)

    def time(engine: str) -> Callable[[Path], list[str]]:
        timed = ("--case", "16,4", "--batch-size", "2", "--quick")
        return _to("performance", *timed, "--engine", engine, "--model", str(fp32))

    prompts = ("--input-text", "one", "--input-text", "two", "--model", str(fp32))
    suite_file = fp32.parent / "suite.yaml"
    suite_file.write_text(
        f"models: [{fp32}]\nengines: [hf]\ntasks:\n"
        "  - accuracy: {task: [boolq, mmlu], split: sample, limit: 4}\n"
    )
    return {
        "accuracy_hf": Kind(ask("hf", fp32), answers),
        "accuracy_paged": Kind(ask("hf_paged", fp32), answers),
        "accuracy_mindie": Kind(ask("mindie_pa", fp16, "--engine-option", "stand_in=yes"), answers),
        "performance_hf": Kind(time("hf"), shapes),
        "performance_paged": Kind(time("hf_paged"), shapes),
        "maxbs_hf": Kind(_to("maxbs", "--engine", "hf", "--model", str(fp32), *LIMIT), searched),
        "generate": Kind(_to("generate", *prompts), texts),
        "suite": Kind(_to("suite", str(suite_file)), suite, resumes="suite"),
    }


def _of_files(torch: Path) -> dict[str, Kind]:
    return {
        "convert": Kind(
            lambda output: ["convert", "--model", str(torch), "--output", str(output / "model")],
            contents,
            resumes=None,
        )
    }


def _of_harness(folder: Path, model: Path) -> dict[str, Kind]:
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    rows = [{"q": f"{number}+1=", "a": str(number + 1)} for number in range(6)]
    (tasks / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "sums.yaml").write_text(
        "task: sums\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tasks / 'rows.jsonl'}}}}}\n"
        "test_split: test\noutput_type: loglikelihood\ndoc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\n"
        "metric_list:\n  - metric: acc\n"
    )
    words = ("lm-eval", "--tasks", "sums", "--include-path", str(tasks), "--model", str(model))
    return {"lm_eval": Kind(_to(*words), metrics, resumes=None, goes_on=False)}


def done(words: list[str], cwd: Path) -> int:
    """Run a command to its end and return its status: whether what it found is good is its own affair."""
    ended = subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, timeout=PATIENCE_S, cwd=cwd
    )
    assert ended.returncode in {0, 1}, ended.stderr
    return ended.returncode


def _as_torch(model: Path, target: Path) -> None:
    import torch
    from safetensors.torch import load_file

    target.mkdir()
    torch.save(load_file(model / "model.safetensors"), target / "pytorch_model.bin")
    for path in model.glob("*.json"):
        (target / path.name).write_bytes(path.read_bytes())
