"""Every command a document shows is run, or at least parsed, as a reader would type it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
import run_checks
from doc_blocks import (
    DOCUMENTS,
    ROOT,
    Block,
    Command,
    all_commands,
    blocks,
    commands,
    inline_code,
    names_in,
    table_rows,
)
from made_packs import made_pack

from modeltest import registry
from modeltest.api import RunSpec
from modeltest.cli.quickstart import RUNS
from modeltest.cli.root import COMMANDS, root
from modeltest.demo import build_demo_model
from modeltest.doctor.host import DEVICE_FILES, check_npu_smi
from modeltest.doctor.software import ATB_SETUP, CANN_SETUP, MODELS_SETUP
from modeltest.doctor.variables import fates
from modeltest.grammar.modes import all_modes, engine_word
from modeltest.grammar.parse import parse
from modeltest.models.profiles import model_keys
from modeltest.options.references import reference_make
from modeltest.packs.files import write_pack
from modeltest.plain.contracts import from_plain
from modeltest.run.planning.plan import plan

OUTPUT = ROOT / "docs" / "output.md"
FAMILY_OF = {"gemma": "gemma", "llama": "llama", "qwen": "qwen2", "internlm": "internlm2", "gpt2": "gpt2"}
MODERN_RUNS = ("accuracy", "performance", "precision", "maxbs", "lm-eval", "generate", "locate", "calibrate")
NETWORK = (["data", "fetch"], ["demo-model", "smollm2"])
FILES_OF_THE_READER = (["data", "add"], ["certificate", "verify"], ["certificate", "sign"])
# Modes of the example in add-a-task.md, which test_docs_add_a_task.py runs.
EXAMPLE_MODES = ("full_Colours", "sample_Colours")


class UnknownCommandError(AssertionError):
    """A document shows a command that nothing here knows how to check."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory like a reader's: with the run that `outputs/RUN` stands for, and no data."""
    directory = tmp_path_factory.mktemp("reader")
    done = modeltest(directory, "fake", "performance", "[[8,4]]", "[1,2]", "auto", "none", "1")
    assert done.returncode == 0, done.stderr
    (run,) = (directory / "outputs").iterdir()
    run.rename(directory / "outputs" / "RUN")
    turns = [{"role": "user", "content": "hello"}]
    (directory / "dialogues.jsonl").write_text(json.dumps(turns) + "\n")
    return directory


def modeltest(place: Path, *words: str, **own: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "MODELTEST_DATA_DIR": str(place / "no_data"), "HOME": str(place), **own}
    command = [sys.executable, "-m", "modeltest", *words]
    return subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)


EXAMPLES = "docs/examples/"


def words_of_modeltest(command: Command) -> list[str] | None:
    """Return what follows `modeltest` or `bash run.sh`, which hands its words over; `None` for neither."""
    for start in (("modeltest",), ("bash", "run.sh"), ("run.sh",)):
        if command.words[: len(start)] == start:
            examples = f"{ROOT}/{EXAMPLES}"  # commands are run elsewhere
            return [word.replace(EXAMPLES, examples) for word in command.words[len(start) :]]
    return None


def check(command: Command, place: Path) -> None:
    """Run `command` as far as that is cheap.

    Raises: UnknownCommandError for one that is not known; AssertionError when it does not work.
    """
    words = words_of_modeltest(command)
    if words is None:
        check_other(command)
    elif command.words[0] == "bash" and words[:1] == ["test"]:
        check_test(words[1:])
    elif words[:1] == ["quickstart"]:
        check_quickstart(place)
    elif words and words[0] in COMMANDS:
        check_known(words, place)
    elif not set(words) & set(EXAMPLE_MODES):
        check_run(words, place)


def check_other(command: Command) -> None:
    first, *rest = command.words
    if command.words[:2] == ("git", "clone") or re.fullmatch(r"[a-z]+=\S+", first):
        return
    if first == "source":
        assert rest[0] in (CANN_SETUP, ATB_SETUP, MODELS_SETUP), command.where
    elif first == "export":
        assert rest[0].partition("=")[0] in fates(), command.where
    elif first == "docker":
        shown = " ".join(command.words)
        assert DEVICE_FILES in shown, command.where
        assert check_npu_smi(None, []).mend.split()[3] in shown, command.where
    elif first == "python" and rest[0].startswith(("benchmarks/", "tests/")):
        check_script(ROOT / rest[0], rest[1:])
    elif first == "bash" and rest[0].startswith("benchmarks/"):
        check_script(ROOT / rest[0], rest[1:], interpreter="bash")
    else:
        raise UnknownCommandError(f"{command.where}: nobody knows how to check {shlex.join(command.words)}")


def check_script(script: Path, words: Sequence[str], *, interpreter: str = sys.executable) -> None:
    """Hold the options of a script that takes many minutes against its help, without running it."""
    assert script.is_file(), script
    known = subprocess.run(
        [interpreter, str(script), "--help"],
        env={**os.environ, "PYTHON": sys.executable},  # which scripts of the shell are to use
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in words:
        assert not word.startswith("--") or re.search(rf"{word}\b", known), word


def check_test(words: Sequence[str]) -> None:
    """`run.sh test` runs run_checks.py, which gives its words to pytest."""
    assert 'exec "$python" "$root/tests/run_checks.py"' in (ROOT / "run.sh").read_text(encoding="utf-8")
    assert run_checks.commands(words, cpus=1)["pytest"][3:] == list(words)
    for word in words:
        assert not word.endswith(".py") or (ROOT / word).is_file(), word


def check_quickstart(place: Path) -> None:
    """Check the runs it is made of; the whole takes half a minute."""
    assert "quickstart" in COMMANDS
    for run in RUNS:
        plan(dry_run(run.format(model=demo(place, "llama", "float32")).split(), place))


def check_run(words: list[str], place: Path) -> None:
    words = with_packs(words, place)
    if "$weights" in words:
        model = words[words.index("$weights") - 1]
        weights = demo(place, FAMILY_OF[model], engine_word(words[0]).dtype or "float32")
        words = [str(weights) if word == "$weights" else word for word in words]
        if any(word.startswith("keep=") for word in words):  # an option of MindIE's engines
            words = [*words, "--engine-option", "stand_in=yes"]
        plan(dry_run(words, place))
    elif words[0] == "fake":
        assert modeltest(place, *words).returncode in (0, 1)
    else:
        dry_run(words, place)


def check_known(words: list[str], place: Path) -> None:
    if words[:2] in NETWORK or words[:2] in FILES_OF_THE_READER:
        check_syntax(words)
    elif words[:2] == ["dashboard", "serve"]:
        check_syntax(words)  # it would serve for ever
    elif words[:2] == ["doctor", "--ascend"]:
        model = demo(place, "llama", "float16")
        done = modeltest(place, *[str(model) if word in ("DIR", "$weights") else word for word in words])
        assert done.returncode in (0, 3), done.stderr  # this machine need not be one
    elif words[0] == "convert":
        check_convert(words, place)
    elif words[0] == "compare":
        check_compare(words, place)
    elif words[0] == "suite":
        check_suite(words, place)
    elif words[0] == "reference":
        check_reference(words, place)
    elif words[0] == "accept":
        engine = words[words.index("--engine") + 1]
        model = demo(place, "gemma", engine_word(engine).dtype or "float32")
        words = [str(model) if word == "DIR" else word for word in with_packs(words, place)]
        plan(dry_run(words, place))
    elif words[0] in MODERN_RUNS:
        model = demo(place, "llama", "float16" if "pa" in words else "float32")
        plan(dry_run([str(model) if word == "DIR" else word for word in words], place))
    else:
        done = modeltest(place, *words)
        assert done.returncode == 0, done.stderr


def check_compare(words: list[str], place: Path) -> None:
    """Compare runs that are all the same one, under the names the document gives them."""
    run = answered(place) if "--twin" in words else place / "outputs" / "RUN"
    for word in words[1:]:
        if word.startswith("outputs/") or re.fullmatch(r"[AB]\d", word):
            shutil.copytree(run, place / word, dirs_exist_ok=True)
    if "calibration.json" in words:
        sessions = [shutil.copytree(run, place / f"session{n}", dirs_exist_ok=True) for n in range(4)]
        done = modeltest(place, "calibrate", *(word for each in sessions for word in ("--from", str(each))))
        assert done.returncode == 0, done.stderr
    done = modeltest(place, *words)
    assert done.returncode == 0, done.stderr


def answered(place: Path) -> Path:
    """Return a run of questions, which a twin is of."""
    words = [
        "accuracy",
        "--engine",
        "fake",
        "--model",
        "none",
        "--profile",
        "llama",
        "--task",
        "boolq",
        "--split",
        "sample",
        "--output",
    ]
    done = modeltest(place, *words, "answered")
    assert done.returncode == 0, done.stderr
    return next((place / "answered").iterdir())


def check_convert(words: list[str], place: Path) -> None:
    torch = pytest.importorskip("torch")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        torch.save({"w": torch.ones(2)}, Path(folder) / "pytorch_model.bin")
        done = modeltest(Path(folder), *[folder if word == "DIR" else word for word in words])
        assert done.returncode == 0, done.stderr


def check_suite(words: list[str], place: Path) -> None:
    """Plan the suite of a file that the project has; going on with one is tested elsewhere."""
    if "--resume" in words:
        check_syntax(words)
        return
    demo(place / "weights", "llama", "float32")
    done = modeltest(place, "suite", str(ROOT / words[1]), "--dry-run", WEIGHTS=str(place / "weights"))
    assert done.returncode == 0, done.stderr


def check_reference(words: list[str], place: Path) -> None:
    """Plan the runs of a pack that is to be made; show and verify one that is there."""
    if words[1] != "make":
        write_pack(place / words[2], made_pack())
        done = modeltest(place, *words)
        assert done.returncode == 0, done.stderr
        return
    model = demo(place, "llama", "float32")
    words = [str(model) if word == "DIR" else word for word in words[2:]]
    with reference_make.make_context("make", words) as context:
        for spec in reference_make.callback(**context.params).specs:
            plan(spec)


def with_packs(words: list[str], place: Path) -> list[str]:
    """Return words in which reference packs are files that are there."""
    for word in words:
        if word.endswith(".ref"):
            write_pack(place / word, made_pack())
    return [str(place / word) if word.endswith(".ref") else word for word in words]


def demo(place: Path, family: str, dtype: str) -> Path:
    weights = place / f"{family}-{dtype}"
    return weights if weights.exists() else build_demo_model(family, weights, dtype=dtype)


def dry_run(words: list[str], place: Path) -> RunSpec:
    done = modeltest(place, *words, "--dry-run")
    assert done.returncode == 0, done.stderr
    return from_plain(RunSpec, json.loads(done.stdout))


def check_syntax(words: Sequence[str]) -> None:
    """Parse a command without running it, in this process."""
    group: click.Command = root
    context = click.Context(root, info_name="modeltest")
    words = list(words)
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        name, command, words = group.resolve_command(context, words)
        assert command is not None, name
        group = command
    try:
        made = group.make_context("modeltest", list(words), parent=context)
    except click.exceptions.Exit:  # --help was shown
        return
    words = made.params["words"] if group.name == "run" else ()
    if words and not set(words) & set(EXAMPLE_MODES):
        modes = all_modes(registry.declared_modes())
        parse(words, modes=modes, model_keys=model_keys(), engines=registry.engine_names())


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.where)
def test_a_command_in_a_fenced_block_works(command, place):
    pytest.importorskip("transformers")
    check(command, place)


INLINE = sorted(
    {
        code
        for path in DOCUMENTS
        for code in inline_code(path)
        if code.startswith(("modeltest ", "bash run.sh ", "run.sh "))
    }
)


@pytest.mark.parametrize("code", INLINE)
def test_a_command_in_a_sentence_can_be_parsed(code):
    words = words_of_modeltest(Command(tuple(shlex.split(code)), "inline"))
    if words[0] == "test":
        check_test(words[1:])
    elif is_named(words):
        assert words[0] in COMMANDS
    else:
        check_syntax(words)


def is_named(words: Sequence[str]) -> bool:
    """Say whether a command is named and not shown: by itself, or as that of a group."""
    first, *rest = words
    group = root.get_command(click.Context(root), first) if len(rest) == 1 else None
    return (not rest and not first.startswith("-")) or (
        isinstance(group, click.Group) and rest[0] in group.commands
    )


def test_the_documents_show_what_this_file_can_check():
    firsts = {command.words[0] for command in all_commands()}
    assert {"bash", "modeltest"} <= firsts
    assert len(all_commands()) > 15
    assert "modeltest data fetch mmlu" in INLINE


@pytest.mark.parametrize(
    "text",
    [
        "```bash\nmodeltest frobnicate\n```\n",
        "```\n$ bash run.sh pb_fp16 full_BoolQ 1 gemma W 8\n```\n",
        "```bash\nmodeltest list nonsense\n```\n",
        "```bash\nmodeltest maxbs --case 64 --limit-ms 20 --model DIR\n```\n",
        "```bash\nbash run.sh test tests/no_such_test.py\n```\n",
        "```\nmake install\n```\n",
    ],
)
def test_a_wrong_command_in_a_document_is_noticed(text, place):
    (block,) = blocks(Path("wrong.md"), text=text)
    (command,) = commands(block)
    with pytest.raises(AssertionError):
        check(command, place)


def test_commands_are_told_from_their_output():
    block = Block(Path("a.md"), 7, "", "$ modeltest doctor  # what is here\nfound\n$ bash run.sh test\n")
    assert commands(block) == [
        Command(("modeltest", "doctor"), "a.md:7", "found"),
        Command(("bash", "run.sh", "test"), "a.md:9"),
    ]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("accuracy tasks", ("sample_BoolQ", "8")),
        ("`performance`", ("performance", "[[8,4]]", "[1,2]")),
        ("`performance_maxbs`", ("performance_maxbs", "[[8,4]]", "[[1,4]]", "1.25")),
        ("`performance_single`", ("performance_single", "[[8,4]]", "[1,2,3]", "[1,2]")),
        ("`precision_single`", ("precision_single", "[[8,4]]", "[1,2,3]", "[1,2]")),
    ],
)
def test_the_files_of_a_run_are_those_documented(task, words, tmp_path):
    done = modeltest(tmp_path, "fake", *words, "auto", "none", "1")
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "outputs").iterdir()
    rows = table_rows(OUTPUT.read_text(encoding="utf-8").partition("## ")[0])
    patterns = [
        _pattern(names_in(row[0])[0]) for row in rows if {"every run", task} & set(row[1].split(", "))
    ]
    written = [path.name + "/" * path.is_dir() for path in directory.iterdir()]
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in written), pattern
    for name in written:
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name
    assert re.fullmatch(rf"\d{{8}}-\d{{6}}_{words[0]}_auto_fake", directory.name)


def _pattern(name: str) -> str:
    """Return the regular expression of a documented file name: `{pa or fa}` is a choice, `{B}` a number."""
    pattern = re.escape(name)
    pattern = pattern.replace(re.escape("{pa or fa}"), "(pa|fa)")
    return re.sub(r"\\\{\w+\\\}", r"\\d+", pattern)


def test_text_in_other_languages_holds_no_commands():
    assert commands(Block(Path("a.md"), 1, "python", "import modeltest\n")) == []


def test_contributing_names_the_checks_by_hand_as_they_run():
    names = {
        "lint": "ruff check",
        "format": "ruff format",
        "types": "mypy",
        "import rule": "lint-imports",
        "trained model": "trained model",
        "tests": "pytest",
    }
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| ([a-z ]+) \| `([^`]+)` \|", text, re.MULTILINE))
    checks = run_checks.commands([], cpus=1)
    assert list(shown) == list(names)
    for name, command in shown.items():
        if name != "import rule":  # the console script and the function behind it
            assert command.split() == ["python", *checks[names[name]][1:]]
    assert shown["import rule"] == "lint-imports"


@pytest.mark.slow
def test_the_output_shown_in_the_readme_is_that_of_the_command(tmp_path):
    """Numbers and verdicts differ from run to run; every other character is compared."""
    pytest.importorskip("transformers")
    shown = [command for command in all_commands() if command.output]
    assert len(shown) == 2, "the README shows how the demo model is made and one run on it"
    for command in shown:
        done = modeltest(tmp_path, *command.words[2:])
        assert done.returncode == 0, done.stderr
        real = done.stderr + done.stdout
        assert _shape(command.output) == _shape(real.replace(str(tmp_path), "/tmp/try"))


_COMES_AND_GOES = re.compile(r"^\d+ trials|^warning: | varies too much | drifts over the trials")


def _shape(output: str) -> list[str]:
    lines = []
    for line in output.splitlines():
        if not line.strip() or line.startswith("/tmp/try") or _COMES_AND_GOES.search(line):
            continue  # paths of files, reasons and lines of progress: as many as there are
        neutral = re.sub(r"VALID|NOISY", "VERDICT", re.sub(r"[-+±]?\d[\d.+a-z%]*", "N", line))
        lines.append(re.sub(r"─+", "─", " ".join(neutral.split())))
    return lines
