"""What is loaded, refused and written, with lm-evaluation-harness itself and the `fake` engine."""

import json
from dataclasses import replace

import pytest

from engines.fake import FakeEngine
from modeltest.api import (
    Capability,
    DatasetError,
    LmEvalOptions,
    ModelInfo,
    PrerequisiteError,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.lm_eval.results import RESULTS_FILE, read_summary
from modeltest.lm_eval.task import LmEval

pytest.importorskip("lm_eval")

INFO = ModelInfo("m", "m", "none", "", None, None, None, 128, 1, None)

pytestmark = [pytest.mark.usefixtures("only_tiny_tasks"), pytest.mark.filterwarnings("ignore")]


def spec_of(folder, *tasks, **changes):
    fields = {"shots": None, "limit": None, "chat": False, **changes}
    shots, limit, chat = (fields.pop(name) for name in ("shots", "limit", "chat"))
    options = LmEvalOptions(tasks, **{"include_path": str(folder), **fields})
    return RunSpec(
        engine="fake",
        mode="lm_eval",
        task="lm_eval",
        model="m",
        weights="none",
        options=TaskOptions(shots=shots, lm_eval=options),
        batch_sizes=((2,),),
        limit=limit,
        chat=chat,
    )


def evaluate(spec, directory, told=None):
    engine = FakeEngine()
    evaluation = LmEval().prepare(spec, engine)
    heard = [] if told is None else told
    evaluation.run(
        engine, engine.load(spec, INFO), directory=directory, tell=lambda *values: heard.append(values)
    )
    return json.loads((directory / RESULTS_FILE).read_text(encoding="utf-8"))


def prepare(spec, engine=None):
    return LmEval().prepare(spec, engine or FakeEngine())


def test_the_results_are_in_its_own_format_with_what_its_own_command_adds(tasks_folder, tmp_path):
    told = []
    results = evaluate(spec_of(tasks_folder, "tiny_choice", "tiny_perplexity", shots=2), tmp_path, told)
    assert set(results["results"]) == {"tiny_choice", "tiny_perplexity"}
    assert results["n-shot"]["tiny_choice"] == 2
    assert results["config"]["model"] == "modeltest-fake"
    assert results["config"]["batch_size"] == 2
    assert results["model_name"] == "none"
    assert float(results["total_evaluation_time_seconds"]) > 0
    assert "samples" not in results
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS_FILE]
    assert told[-1][2] == "loglikelihood_rolling requests"
    # Eight questions with three or four choices are eight requests.
    assert (8, 8, "loglikelihood requests") in told


def test_samples_are_written_as_its_own_command_writes_them(tasks_folder, tmp_path):
    results = evaluate(spec_of(tasks_folder, "tiny_choice", log_samples=True), tmp_path)
    (path,) = tmp_path.glob("samples_tiny_choice_*.jsonl")
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(samples) == 8
    assert samples[0]["arguments"]["gen_args_0"]["arg_1"] == " salt"
    assert samples[0]["filter"] == "none"
    assert set(results["task_hashes"]) == {"tiny_choice"}


def test_a_group_is_its_tasks(tasks_folder, tmp_path):
    results = evaluate(spec_of(tasks_folder, "tiny_group"), tmp_path)
    assert results["group_subtasks"]["tiny_group"] == ["tiny_choice", "tiny_generation"]
    assert {metric.task for metric in read_summary(tmp_path).metrics} == {"tiny_choice", "tiny_generation"}


def test_patterns_and_files_name_tasks_too(tasks_folder, tmp_path):
    results = evaluate(spec_of(None, str(tasks_folder / "choice.yaml"), include_path=None, limit=1), tmp_path)
    assert set(results["results"]) == {"tiny_choice"}
    results = evaluate(spec_of(tasks_folder, "tiny_[cp]*", limit=1), tmp_path)
    assert set(results["results"]) == {"tiny_choice", "tiny_perplexity"}


def test_a_limit_is_per_task(tasks_folder, tmp_path):
    evaluate(spec_of(tasks_folder, "tiny_choice", "tiny_generation", limit=3), tmp_path)
    assert {metric.questions for metric in read_summary(tmp_path).metrics} == {3}


def test_generation_options_of_the_command_count_over_those_of_the_task(tasks_folder, tmp_path):
    results = evaluate(spec_of(tasks_folder, "tiny_generation", gen_kwargs="max_gen_toks=3"), tmp_path)
    assert results["configs"]["tiny_generation"]["generation_kwargs"]["max_gen_toks"] == 3


@pytest.mark.parametrize(("asked", "turns"), [(None, True), (False, False), (True, True)])
def test_with_a_chat_template_each_shot_is_a_turn_unless_said_otherwise(tasks_folder, tmp_path, asked, turns):
    spec = spec_of(tasks_folder, "tiny_choice", chat=True, limit=1, fewshot_as_multiturn=asked)
    results = evaluate(spec, tmp_path)
    assert results["fewshot_as_multiturn"] is turns
    assert results["chat_template"]


def test_an_unknown_task_is_refused_with_the_nearest_names(tasks_folder):
    with pytest.raises(SpecError, match=r"no task 'tiny_chioce'; did you mean tiny_choice"):
        prepare(spec_of(tasks_folder, "tiny_chioce"))


def test_paths_that_are_not_there_are_refused(tasks_folder, tmp_path):
    with pytest.raises(SpecError, match=r"there is no file none\.yaml"):
        prepare(spec_of(tasks_folder, "none.yaml"))
    with pytest.raises(SpecError, match="--include-path: there is no directory"):
        prepare(spec_of(tmp_path / "none", "tiny_choice"))


def test_no_tasks_at_all_are_refused(tasks_folder):
    with pytest.raises(SpecError, match="modeltest lm-eval --tasks"):
        prepare(spec_of(tasks_folder))


def test_sampling_is_refused_before_a_model_is_loaded(tasks_folder):
    with pytest.raises(SpecError, match="task tiny_generation: sampling is not supported"):
        prepare(spec_of(tasks_folder, "tiny_generation", gen_kwargs="do_sample=True,temperature=0.5"))


def test_a_task_the_engine_cannot_do_is_refused(tasks_folder):
    engine = FakeEngine()
    engine.capabilities = frozenset({Capability.GENERATE})
    prepare(spec_of(tasks_folder, "tiny_generation"), engine)
    with pytest.raises(PrerequisiteError, match=r"cannot run task tiny_choice .* lacks choice_logprobs"):
        prepare(spec_of(tasks_folder, "tiny_choice"), engine)


def test_rows_that_cannot_be_read_are_a_dataset_error(tasks_folder, tmp_path):
    broken = (tasks_folder / "choice.yaml").read_text().replace("choice.jsonl", "none.jsonl")
    (tmp_path / "broken.yaml").write_text(broken.replace("tiny_choice", "broken"))
    with pytest.raises(DatasetError, match="lm-eval cannot load broken: FileNotFoundError"):
        prepare(spec_of(tmp_path, "broken"))


def test_code_of_the_model_is_run_only_on_demand(tasks_folder, tmp_path):
    unsafe = (tasks_folder / "generation.yaml").read_text().replace("tiny_generation", "unsafe")
    (tmp_path / "unsafe.yaml").write_text(unsafe + "unsafe_code: true\n")
    with pytest.raises(SpecError, match="--confirm-run-unsafe-code"):
        prepare(spec_of(tmp_path, "unsafe"))
    prepare(spec_of(tmp_path, "unsafe", confirm_run_unsafe_code=True))


def test_a_package_a_task_needs_is_named(tasks_folder, tmp_path):
    (tmp_path / "needs.py").write_text("import not_installed_anywhere\n\n\ndef answer(row):\n    return 1\n")
    needing = (tasks_folder / "generation.yaml").read_text().replace("tiny_generation", "needing")
    (tmp_path / "needing.yaml").write_text(
        needing.replace("doc_to_target: answer", "doc_to_target: !function needs.answer")
    )
    with pytest.raises(PrerequisiteError, match="not_installed_anywhere"):
        prepare(replace(spec_of(tmp_path, "needing"), trust_remote_code=True))
