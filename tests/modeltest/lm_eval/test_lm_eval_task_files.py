"""The code that task files of others name is found by reading, and does not run unless it is trusted."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import run_result
from tiny_tasks import write_tasks

from engines.fake import FakeEngine
from modeltest.api import LmEvalOptions, RunSpec, SpecError, TaskOptions
from modeltest.compare.comparable import run_differences
from modeltest.lm_eval.task_files import TaskFiles, task_files
from modeltest.run.planning.trust import code_of, digests_of_tasks, refuse_untrusted_tasks

lm_eval = pytest.importorskip("lm_eval")

PLANTED = "import pathlib\npathlib.Path({mark!r}).touch()\ndef text(doc):\n    return doc['question']\n"
SPEC = RunSpec(engine="fake", mode="lm_eval", task="lm_eval", model="m", weights="none", batch_sizes=((2,),))


def spec_of(*tasks, include_path=None, trusts=False) -> RunSpec:
    harness = LmEvalOptions(tuple(map(str, tasks)), include_path and str(include_path))
    return replace(SPEC, options=TaskOptions(lm_eval=harness), trust_remote_code=trusts)


def found(*tasks, include_path=None) -> TaskFiles:
    return task_files(LmEvalOptions(tuple(map(str, tasks)), include_path and str(include_path)))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with tiny tasks; `choice.yaml` takes its texts from a function of `planted.py`."""
    (tmp_path / "theirs").mkdir()
    folder = write_tasks(tmp_path / "theirs")
    (folder / "planted.py").write_text(PLANTED.format(mark=str(tmp_path / "it_ran")))
    file = folder / "choice.yaml"
    text = 'doc_to_text: "Question: {{question}}\\nAnswer:"'
    assert text in file.read_text()
    file.write_text(file.read_text().replace(text, "doc_to_text: !function planted.text"))
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("by_folder", [False, True], ids=["by its path", "by its name in a folder"])
def test_a_run_with_code_that_a_task_file_names_is_refused_by_its_name(folder, by_folder):
    spec = spec_of("tiny_choice", include_path=folder) if by_folder else spec_of(folder / "choice.yaml")
    with pytest.raises(SpecError) as refused:
        refuse_untrusted_tasks(spec)
    planted = folder / "planted.py"
    assert str(refused.value) == (
        f"task files name code that would run: {planted} sha256 {sha256(planted)[:12]}; "
        "add --trust-remote-code if you trust it"
    )
    trusting = replace(spec, trust_remote_code=True)
    refuse_untrusted_tasks(trusting)
    assert list(code_of(trusting))[1:] == [
        f"the code that task files name: {planted} sha256 {sha256(planted)[:12]}"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("trusts", [False, True])
def test_planted_code_runs_when_it_is_trusted_and_only_then(folder, tmp_path, trusts):
    words = ["--tasks", str(folder / "choice.yaml"), "--model", "none", "--engine", "fake", "--limit", "2"]
    words += ["--output", str(tmp_path / "out"), *(["--trust-remote-code"] if trusts else [])]
    done = subprocess.run(
        [sys.executable, "-m", "modeltest", "lm-eval", *words],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert (tmp_path / "it_ran").exists() is trusts
    assert done.returncode == (0 if trusts else 2), done.stderr
    if trusts:
        assert f"trusted: the code that task files name: {folder / 'planted.py'} sha256" in done.stderr
    else:
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: task files name code that would run: {folder / 'planted.py'} sha256")
        assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("only_tiny_tasks")
def test_nor_does_the_worker_run_it_when_the_file_changed_after_it_was_read(folder, tmp_path):
    spec = spec_of(folder / "choice.yaml")
    from modeltest.lm_eval.task import LmEval

    with pytest.raises(SpecError, match="task files name code that would run"):
        LmEval().prepare(spec, FakeEngine())
    assert not (tmp_path / "it_ran").exists()


def test_a_changed_function_is_told_by_its_digest(folder, tmp_path):
    spec = spec_of(folder / "choice.yaml")
    before = digests_of_tasks(spec)
    assert before == {name: sha256(folder / name) for name in ("choice.yaml", "planted.py")}
    with (folder / "planted.py").open("a") as file:
        file.write("# changed\n")
    after = digests_of_tasks(spec)
    assert {name for name in after if after[name] != before[name]} == {"planted.py"}
    runs = (run_result(spec, task_files=digests) for digests in (before, after))
    (told,) = run_differences("harness", *runs)
    assert (told.category, told.fact) == ("protocol", "task files (sha256)")
    assert told.reference.startswith(f"planted.py {before['planted.py'][:40]}")


def test_a_copy_of_the_same_files_elsewhere_has_the_same_digests(folder, tmp_path):
    copy = tmp_path / "somewhere" / "else"
    copy.mkdir(parents=True)
    for name in ("choice.yaml", "planted.py"):
        (copy / name).write_bytes((folder / name).read_bytes())
    assert digests_of_tasks(spec_of(copy / "choice.yaml")) == digests_of_tasks(
        spec_of(folder / "choice.yaml")
    )


def test_files_without_code_need_no_trust_and_are_told_by_their_digests(tmp_path):
    folder = write_tasks(tmp_path)
    spec = spec_of("tiny_choice", include_path=folder)
    refuse_untrusted_tasks(spec)
    assert not list(code_of(spec))
    assert set(digests_of_tasks(spec)) == {"choice.yaml", "generation.yaml", "group.yaml", "perplexity.yaml"}


def test_tasks_of_the_installed_package_are_nobody_elses(tmp_path):
    package = Path(lm_eval.__file__).parent / "tasks"
    named = next(path for path in sorted(package.glob("*/*.yaml")) if "!function" in path.read_text())
    (tmp_path / "mine.yaml").write_text(f"include: {named}\ntask: mine\n")
    assert found("arc_easy") == TaskFiles((), (), {})
    assert found(named) == TaskFiles((), (), {})
    assert found(tmp_path / "mine.yaml") == TaskFiles((tmp_path / "mine.yaml",), (), {})


def test_included_files_count_wherever_they_are_and_may_include_each_other(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "common.yaml").write_text("include: ../a.yaml\nprocess_docs: !function deep.mod.f\n")
    (tmp_path / "a.yaml").write_text("include: [base/common.yaml]\ntask: a\n")
    (tmp_path / "base" / "deep").mkdir()
    for name in ("mod.py", "helper.py"):
        (tmp_path / "base" / "deep" / name).write_text("")
    files = found(tmp_path / "a.yaml")
    assert files.files == (tmp_path / "a.yaml", tmp_path / "base" / "common.yaml")
    assert files.code == tuple(tmp_path / "base" / "deep" / name for name in ("helper.py", "mod.py"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("custom_dataset: !function subprocess.run", "function subprocess.run"),
        ("doc_to_text: !function nowhere.to.be.found", "function nowhere.to.be.found"),
        ("doc_to_text: !<!function> shutil.rmtree", "function shutil.rmtree"),
        ("x: &a !function os.system\ny: *a", "function os.system"),
        ("x: {y: [{z: !function os.system}]}\nx: 1", "function os.system"),
        ("x: !!python/name:os.system", "function tag:yaml.org,2002:python/name:os.system"),
        (
            "x: !!python/object/apply:os.system [ls]",
            "function tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("metric_list: [{metric: somebody/metric}]", "metric somebody/metric"),
        ("metric_list: [{metric: ./metric.py}]", "metric ./metric.py"),
        (
            "dataset_kwargs: {trust_remote_code: true}",
            "the loading script of a dataset (trust_remote_code)",
        ),
    ],
)
def test_code_is_found_however_it_is_named(tmp_path, line, told):
    (tmp_path / "a.yaml").write_text(f"task: a\n{line}\n")
    assert list(found(tmp_path / "a.yaml").elsewhere) == [told]
    assert found(tmp_path / "a.yaml").name_code


def test_code_elsewhere_has_the_digest_of_its_file_where_that_is_known(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "lib")
    (tmp_path / "lib" / "pack").mkdir(parents=True)
    (tmp_path / "lib" / "pack" / "__init__.py").write_text("raise SystemExit('nobody imports this')")
    (tmp_path / "lib" / "pack" / "part.py").write_text("")
    (tmp_path / "a.yaml").write_text("task: a\nx: !function pack.part.f\ny: !function no.f\n")
    digests = digests_of_tasks(spec_of(tmp_path / "a.yaml"))
    assert digests["function pack.part.f"] == sha256(tmp_path / "lib" / "pack" / "part.py")
    assert digests["function no.f"] == "unknown"


@pytest.mark.parametrize("text", ["- a list", "x: [", "include: gone.yaml\ntask: a"])
def test_a_file_that_is_no_task_file_is_refused_by_name_and_passed_over_in_a_folder(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SpecError, match=r"(a|gone)\.yaml (is no task file|cannot be read)"):
        found(tmp_path / "a.yaml")
    assert not found("t", include_path=tmp_path).name_code


@pytest.mark.usefixtures("only_tiny_tasks")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "template", ["{{ cycler.__init__.__globals__.os.getcwd() }}", "{{ question.__class__.__mro__ }}"]
)
def test_templates_of_tasks_reach_nothing_but_their_values(tmp_path, template):
    from modeltest.lm_eval.task import LmEval

    file = write_tasks(tmp_path) / "choice.yaml"
    file.write_text(file.read_text().replace("Question: {{question}}", template))
    with pytest.raises(Exception, match=r"access to attribute '__\w+__' of .* object is unsafe"):
        LmEval().prepare(spec_of(file), FakeEngine()).run(
            FakeEngine(), FakeEngine().load(SPEC, None), directory=tmp_path, tell=lambda *_: None
        )
