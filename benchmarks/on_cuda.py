"""Everything that ModelTest has to show on a device, step by step, in one JSON file.

bash benchmarks/on_cuda.sh --help
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from on_device.accuracy import accuracy
from on_device.bench import Bench, Settings
from on_device.book import Book
from on_device.contract import contract
from on_device.performance import performance
from on_device.questions import split_of
from on_device.sizes import FULL, QUICK, choose_sizes

import modeltest
from modeltest.api import PrerequisiteError

WORK_DIR = Path("~/.cache/modeltest/benchmarks")
MACHINE = "machine"

_FOLDER = click.Path(file_okay=False, path_type=Path)
_DATA = click.Path(file_okay=False, exists=True, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

Step = Callable[[Bench], None]


def machine(bench: Bench) -> None:
    """Note the device and its software."""
    found = bench.run(MACHINE, "device", "on_device.machine_side", {"device": bench.settings.device})
    if found is not None:
        bench.device_bytes = found["free_bytes"]
        bench.book.ran(MACHINE, "device", found)


STEPS: Mapping[str, Step] = {
    MACHINE: machine,
    "contract": contract,
    "accuracy": accuracy,
    "performance": performance,
}


@click.command()
@click.option(
    "--json",
    "json_file",
    type=_FILE,
    default=Path("on_cuda.json"),
    show_default=True,
    metavar="FILE",
    help="Where all figures go; written anew after each part.",
)
@click.option(
    "--device",
    type=click.Choice(("cuda", "npu", "cpu")),
    default="cuda",
    show_default=True,
    help="What to compute on; cpu is for trying the command.",
)
@click.option("--quick", is_flag=True, help="Small models, few questions: a look, not a measurement.")
@click.option(
    "--model",
    "shapes",
    type=click.Choice(tuple(dict.fromkeys(sized.shape for sized in (*QUICK, *FULL)))),
    multiple=True,
    help="Default: 135M, 1B and 7B; with --quick 2M and 15M.",
)
@click.option(
    "--data-dir",
    type=_DATA,
    envvar="MODELTEST_DATA_DIR",
    help="Folder with boolq/, ceval/ and mmlu/ (also MODELTEST_DATA_DIR). Default: the bundled samples.",
)
@click.option(
    "--work-dir",
    type=_FOLDER,
    default=WORK_DIR,
    show_default=True,
    help="Where models are kept and every run leaves its logs; 17 GB.",
)
@click.option(
    "--only",
    "names",
    type=click.Choice(tuple(STEPS)),
    multiple=True,
    metavar="STEP",
    help=f"Of {', '.join(STEPS)}; repeat it for more. Default: all. The machine is always told.",
)
@click.option(
    "--limit-s",
    type=click.FloatRange(min=1),
    default=1200.0,
    show_default=True,
    metavar="S",
    help="Each process is ended after so many seconds.",
)
def main(json_file: Path, names: tuple[str, ...], **options: Any) -> None:
    """Run what ModelTest claims on a device, and write one JSON.

    \b
    machine      device, memory, driver, versions
    contract     the contract suite of the engines hf and hf_paged
    accuracy     MMLU with 5 shots, batch size 8 and 32: seconds, tokens, memory and answers of hf with
                 shared prefixes, of hf padded and, where it is installed, of lm-eval; then 32 prompts that
                 begin alike, 64 new tokens each: tokens a second of hf and of model.generate
    performance  TPOT and TTFT of ModelTest beside the bare loop, in turn

    Models have random weights and Llama's shape: 135M (SmolLM2's) in fp32 and bf16, 1B and 7B in bf16. One
    that does not fit the device or the disk is skipped, and the JSON says why. Each part is a process of
    its own; when one fails, that is noted and the next begins.

    \b
    Needs: a Python with torch and transformers (PYTHON names it) and what ModelTest runs on; nothing is
           installed or fetched. For the suite pytest, for the comparison lm-eval 0.4.13.

    \b
    Examples:
      bash benchmarks/on_cuda.sh --json figures.json --data-dir /data
      bash benchmarks/on_cuda.sh --only contract
      bash benchmarks/on_cuda.sh --only accuracy --only performance --model 7B
      PYTHON=.venv/bin/python bash benchmarks/on_cuda.sh --device cpu --quick

    Ends with 1 when a step failed, and with 0 when all ran.
    """
    work_dir = options["work_dir"].expanduser().absolute()
    data_dir = str(options["data_dir"].absolute()) if options["data_dir"] else None
    settings = Settings(
        device=options["device"],
        quick=options["quick"],
        data_dir=data_dir,
        work_dir=work_dir,
        sizes=choose_sizes(options["shapes"], quick=options["quick"]),
        limit_s=options["limit_s"],
    )
    folder = _fresh_folder(work_dir)
    head = {
        "modeltest": modeltest.__version__,
        "command": shlex.join(["on_cuda.py", *sys.argv[1:]]),
        "device": settings.device,
        "quick": settings.quick,
        "rows": split_of(data_dir),
    }
    book = Book(json_file, head, _say)
    chosen = [name for name in STEPS if name == MACHINE or not names or name in names]
    try:
        run_steps(Bench(settings, folder, book), chosen)
    except PrerequisiteError as problem:  # the JSON file cannot be written
        raise click.ClickException(str(problem)) from problem
    _say(f"all figures: {json_file}; logs: {folder}")
    if book.failed_steps:
        _say(f"failed: {', '.join(book.failed_steps)}")
    sys.exit(1 if book.failed_steps else 0)


def run_steps(bench: Bench, names: Sequence[str], steps: Mapping[str, Step] = STEPS) -> None:
    """Run the steps; what goes wrong in one is noted, and the next begins."""
    for name in names:
        bench.book.begin(name)
        problem = None
        try:
            steps[name](bench)
        except Exception as failure:  # a device is lent for minutes: no step may cost the others
            problem = f"{type(failure).__name__}: {failure}"
        bench.book.end(name, problem)


def _fresh_folder(work_dir: Path) -> Path:
    runs = work_dir / "on_device"
    runs.mkdir(parents=True, exist_ok=True)
    folder = runs / f"run-{1 + len(list(runs.iterdir())):03}"
    folder.mkdir()
    return folder


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
