"""The documents say what the code does: formulas, columns, fields, verdicts, statuses, prompts, links."""

import json
import re
from statistics import median

import pytest
from click.testing import CliRunner
from doc_blocks import (
    DOCUMENTS,
    ROOT,
    TRANSLATIONS,
    anchors,
    blocks,
    inline_code,
    links,
    names_in,
    section,
    table_rows,
)

import engines.fake
from engines.endpoint.transport.options import EndpointOptions
from engines.fake import FakeOptions
from engines.mindie.environment import MindieOptions
from modeltest.api import (
    METRIC_DEFINITIONS,
    Case,
    Completion,
    Measurement,
    ModelInfo,
    ModelTestError,
    RunResult,
    RunSpec,
    TaskOptions,
    TextPrompt,
    Verdict,
)
from modeltest.cli.words import run as run_command
from modeltest.data.load import load_dataset
from modeltest.demo.faults.engine import FaultyOptions
from modeltest.doctor.ascend import Plan as AscendPlan
from modeltest.doctor.ascend import examine
from modeltest.doctor.finding import State
from modeltest.doctor.machine import ThisMachine
from modeltest.generate.generations import line_of
from modeltest.machine.disturbances import BUSY_SHARE
from modeltest.metrics import METRICS
from modeltest.plain.toml_file import read_toml
from modeltest.rounding import COARSEST, RESOLUTIONS
from modeltest.run.supervisor import asked_files
from modeltest.run.worker.measurement import run_measurements
from modeltest.run.worker.tracing import TRACED_TOKENS
from modeltest.run.worker.worker import INTERNAL_ERROR
from modeltest.search import FULL_EFFORT, QUICK_EFFORT
from modeltest.search.evidence import CERTIFICATE_RISK
from modeltest.search.sequential_test import CONFIDENCE, PRIOR_SD
from modeltest.statistics import proportion
from modeltest.tasks.gsm8k import GSM8K, LM_EVAL_STOPS, LM_EVAL_TOKENS, MODELTEST_TOKENS
from modeltest.tasks.interval_width import DRIFT_DOUBT, NOISY_CV, PRECISE, SETTLED
from modeltest.tasks.mmlu import MMLU
from modeltest.tasks.multiple_choice import FEW_SHOT_TOKENS, ZERO_SHOT_TOKENS
from modeltest.tasks.performance import Performance
from modeltest.tasks.performance_maxbs import SCREEN_TOKENS, SCREENED_FROM_TOKENS
from modeltest.tasks.plausibility import TOLERANCE
from modeltest.tasks.readings import BARE, MEASURE, WARMUP
from modeltest.tasks.trials import MAX_TRIALS, MAX_WARMUP_TRIALS, MIN_TRIALS, QUICK_TRIALS, TrialPlan
from reports.csv import benchmark as benchmark_csv
from reports.csv import token_latency as token_latency_csv
from reports.legacy import columns as legacy_columns
from reports.legacy import older_benchmark_csv
from reports.legacy import performance_csv as legacy_performance_csv

OUTPUT = ROOT / "docs" / "output.md"
METRICS_DOC = ROOT / "docs" / "metrics.md"
NOT_HERE = re.compile(r"_datasets$|colours|/(test_)?x\.py$")
"""Names of wheels only, of the example task, and that stand for any module."""

CODE_FOLDERS = ("modeltest/", "engines/", "reports/", "datasets/", "tests/", "docs/")
KINDS = (
    *("case", "case_prompts", "search", "distribution", "probe", "metric"),
    *("output", "first_difference"),
)
"""What the JSON reports hold lists of, and what is in these."""


def schema(path: str) -> dict:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def column_names(title: str) -> list[str]:
    return [name for row in table_rows(section(OUTPUT, title)) for name in names_in(row[0])]


def fields_of(part: dict, definitions: dict, *, depth: int) -> set[str]:
    """Return the names of an object's properties, those of objects in it as `outer.inner` down to `depth`."""
    names = set()
    for name, value in part["properties"].items():
        inner = value
        for option in value.get("anyOf", [value]):
            if "$ref" in option:
                inner = definitions[option["$ref"].rpartition("/")[2]]
        if depth > 1 and "properties" in inner and not {"accuracy", "text"} & set(inner["properties"]):
            names |= {f"{name}.{each}" for each in fields_of(inner, definitions, depth=depth - 1)}
        else:
            names.add(name)
    return names


@pytest.mark.parametrize("path", [*DOCUMENTS, *TRANSLATIONS.values()], ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path):
    for link in links(path):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{path.name}: {link}"
        assert not anchor or anchor in anchors(file), f"{path.name}: {link}"


@pytest.mark.parametrize("path", [*DOCUMENTS, *TRANSLATIONS.values()], ids=lambda path: path.name)
def test_files_named_in_a_document_exist(path):
    for code in inline_code(path):
        if code.startswith(CODE_FOLDERS) and re.fullmatch(r"[\w./-]+", code) and not NOT_HERE.search(code):
            assert (ROOT / code).exists(), f"{path.name}: {code}"


@pytest.mark.parametrize("path", [*DOCUMENTS, *TRANSLATIONS.values()], ids=lambda path: path.name)
def test_snippets_are_well_formed(path, tmp_path):
    for block in blocks(path, "python"):
        compile(block.text, f"{path.name}:{block.line}", "exec")
    for block in blocks(path, "toml"):
        (tmp_path / "snippet.toml").write_text(block.text, encoding="utf-8")
        assert read_toml(tmp_path / "snippet.toml")
    for block in blocks(path, "json"):
        assert [json.loads(line) for line in block.text.splitlines()]


def test_every_metric_is_documented_with_unit_and_formula():
    rows = [row[:3] for row in table_rows(section(METRICS_DOC, "Latency"))]
    assert rows == [[f"`{each.name}`", each.unit, f"`{each.formula}`"] for each in METRIC_DEFINITIONS]


def test_the_worked_example_of_the_metrics_is_right():
    rows_ms = ((10, 12, 14), (11, 13, 17))
    sentence = section(METRICS_DOC, "Latency").replace("\n", " ")
    for row in rows_ms:
        assert f"{', '.join(map(str, row))} ms" in sentence
    completions = tuple(
        Completion(str(index), token_times_ns=tuple(ms * 1_000_000 for ms in row))
        for index, row in enumerate(rows_ms)
    )
    measurement = Measurement(0, len(rows_ms), 1, "measure", completions)
    shown = {names_in(row[0])[0]: float(row[3]) for row in table_rows(section(METRICS_DOC, "Latency"))}
    for metric in METRICS:
        assert metric.compute(measurement) == pytest.approx(shown[metric.definition.name], rel=1e-4)


def test_the_statistics_are_those_of_the_schema():
    rows = table_rows(section(METRICS_DOC, "Statistics"))
    documented = {name for row in rows for name in names_in(row[0])}
    distribution = schema("reports/schemas/performance.schema.json")["$defs"]["distribution"]
    assert documented == set(distribution["properties"]) - {"n"}


def test_the_wilson_interval_of_the_example_is_right():
    text = section(METRICS_DOC, "Accuracy").replace("\n", " ")
    found = proportion(8, 24)
    assert f"the standard error is {found.standard_error * 100:.2f} %" in text
    assert f"{found.low * 100:.2f} % .. {found.high * 100:.2f} %" in text


def test_thresholds_are_those_of_the_code():
    statistics = section(METRICS_DOC, "Statistics")
    assert f"above {NOISY_CV}," in statistics
    assert f"at most {DRIFT_DOUBT}," in statistics
    assert f"by more than {TOLERANCE:.0%}".replace("%", " %") in section(METRICS_DOC, "Plausibility")
    assert f"above\n{BUSY_SHARE} per processor" in section(METRICS_DOC, "Conditions")
    assert f"above {NOISY_CV * 100:.0f} %" in section(OUTPUT, "Verdicts")
    near = [f"{found.near_tie:g} in {dtype}" for dtype, found in RESOLUTIONS.items()]
    assert f"less than {', '.join(near)}, {COARSEST.near_tie:g} with" in section(METRICS_DOC, "Accuracy")
    protocols = section(METRICS_DOC, "Protocols")
    assert f"at most {FEW_SHOT_TOKENS} tokens" in protocols
    assert f"at most {ZERO_SHOT_TOKENS} tokens" in protocols
    assert f"at most {MODELTEST_TOKENS} tokens" in protocols
    assert f"at most {LM_EVAL_TOKENS} tokens, up to `{LM_EVAL_STOPS[0]}`" in protocols
    for name, version in {**MMLU.protocols, **GSM8K.protocols}.items():
        assert f"--protocol {name}" in protocols
        assert version in protocols


@pytest.mark.parametrize(("protocol", "shots"), [("modeltest", 1), ("modeltest", 0), ("lm-eval", 1)])
def test_the_prompts_shown_are_those_of_the_task(protocol, shots):
    title = f"MMLU, {protocol}, {shots} shot{'' if shots == 1 else 's'}"
    (block,) = blocks(METRICS_DOC, "text", section(METRICS_DOC, title))
    dataset = load_dataset("mmlu", "sample", data_dir=None, limit=1, shots_needed=True)
    spec = RunSpec(
        "fake", "sample_MMLU", "mmlu", "auto", "none", options=TaskOptions(shots), protocol=protocol
    )
    prompt = next(iter(MMLU().requests(dataset.data, spec))).prompt.text
    is_zero_shot = (protocol, shots) == ("modeltest", 0)
    assert block.text.rstrip("\n") == (
        prompt.removeprefix("\n").removesuffix(" ") if is_zero_shot else prompt
    )
    if is_zero_shot:  # as the sentence above the block says, for a document cannot show it
        assert prompt[0] == "\n"
        assert prompt[-1] == " "


def test_columns_of_the_token_file_are_documented_in_order():
    assert column_names("token_latency.csv") == list(token_latency_csv.COLUMNS)


def test_columns_of_the_legacy_files_are_documented_in_order():
    assert column_names("The predecessor's CSV files") == list(legacy_columns.COLUMNS)
    renamed = set(legacy_performance_csv.FORMATTED_COLUMNS) - set(legacy_columns.COLUMNS)
    prose = section(OUTPUT, "The predecessor's CSV files").replace("\n", " ")
    assert all(f"`{name}`" in prose for name in renamed)


def test_columns_of_the_table_of_times_are_documented_in_order():
    assert column_names("benchmark.csv") == list(benchmark_csv.COLUMNS)
    share = f"{benchmark_csv.SAME_PREFILL:.0%}".replace("%", " %")
    assert f"less than {share} of the time to the first" in section(OUTPUT, "benchmark.csv")


def test_columns_and_files_of_the_older_benchmark_are_documented_in_order():
    names = ["cache0.csv", "result_0_classes_acc.json", "result_0_subject_acc.json"]
    assert column_names("Older files") == [*older_benchmark_csv.COLUMNS, *names]


def test_the_variables_that_ask_for_files_are_documented():
    variables = (
        *(asked_files.BENCHMARK_ENABLE, asked_files.BENCHMARK_PATH),
        *(asked_files.TRACE_ENABLE, asked_files.TRACE_PATH, asked_files.TRACE_LEVEL),
    )
    assert column_names("Files asked for by variables") == list(variables)
    text = section(OUTPUT, "Files asked for by variables")
    assert f"at most {TRACED_TOKENS} new tokens" in text
    assert all(f"`{level}`" in text for level in asked_files.LEVELS)
    help_text = CliRunner().invoke(run_command, ["--help"]).output
    assert all(name in help_text for name in variables[:-1])


@pytest.mark.parametrize("name", ["accuracy", "performance", "precision"])
def test_every_field_of_a_json_report_is_documented(name):
    whole = schema(f"reports/schemas/{name}.schema.json")
    definitions = whole["$defs"]
    expected = fields_of(whole, definitions, depth=2)
    documented = set(column_names(f"{name}.json"))
    common = set(column_names("Common to all JSON reports"))
    shared = {field for field in expected if field.split(".")[0] in ("run", "model", "engine", "usage")}
    assert common == shared
    inside = {field for kind in KINDS for field in definitions.get(kind, {"properties": {}})["properties"]}
    missing = expected - shared - documented
    assert not missing
    assert documented - expected - inside == {"run", "model", "engine"}


def test_every_field_of_cases_and_searches_is_documented():
    text = section(OUTPUT, "performance.json")
    definitions = schema("reports/schemas/performance.schema.json")["$defs"]
    parts = ("overhead", "achieved", "drift", "processors", "work", "peaks", "bandwidth")
    for kind in ("case", "case_prompts", "search", "distribution", "probe", "metric", *parts):
        for field in definitions[kind]["properties"]:
            assert f"`{field}`" in text, f"{kind}: {field}"


def test_every_field_of_an_output_is_documented():
    text = section(OUTPUT, "precision.json")
    definitions = schema("reports/schemas/precision.schema.json")["$defs"]
    for kind in ("output", "first_difference"):
        for field in definitions[kind]["properties"]:
            assert f"`{field}`" in text, f"{kind}: {field}"


def test_every_status_of_a_search_is_documented():
    rows = table_rows(section(ROOT / "docs" / "max-batch.md", "How a search ends"))
    definitions = schema("reports/schemas/performance.schema.json")["$defs"]
    assert [row[0] for row in rows] == definitions["search"]["properties"]["status"]["enum"]
    text = section(ROOT / "docs" / "max-batch.md", "The sequential test")
    decisions = set(definitions["probe"]["properties"]["decision"]["enum"]) - {"OPEN"}
    assert all(decision in text for decision in decisions)


def test_the_numbers_of_the_max_batch_search_are_those_of_the_code():
    path = ROOT / "docs" / "max-batch.md"
    trials, test, way = (
        section(path, name) for name in ("Trials", "The sequential test", "The way to the answer")
    )
    assert f"{SCREEN_TOKENS} output tokens, for cases of {SCREENED_FROM_TOKENS} or more" in trials
    assert f"at most {FULL_EFFORT.most_trials}, until" in test
    assert f"each end at {CONFIDENCE:.0%}".replace("%", " %") in test
    assert f"standard deviation of {PRIOR_SD:.0%}".replace("%", " %") in test
    assert f"probability of {CERTIFICATE_RISK / 2:.2%}".replace("%", " %") in test
    assert f"{FULL_EFFORT.answer_trials} or more trials of full length at the answer" in way
    assert f"{FULL_EFFORT.bound_trials} or more at the batch above" in way
    assert f"({QUICK_EFFORT.answer_trials} and {QUICK_EFFORT.bound_trials} with" in way


def test_every_field_of_run_json_is_documented():
    whole = schema("modeltest/schemas/run.schema.json")
    assert set(column_names("run.json")) == set(whole["properties"])


def test_every_field_of_the_journal_is_documented():
    definitions = schema("modeltest/schemas/journal.schema.json")["$defs"]
    text = section(OUTPUT, "samples.jsonl")
    for field in definitions["Measurement"]["properties"]:
        assert f"`{field}`" in text, field
    for part, kind in (("score", "Score"), ("completion", "Completion")):
        # The id and the error of a completion are those of its score; accuracy runs keep no times.
        known_elsewhere = {"request_id", "error", "token_times_ns"} if part == "completion" else set()
        for field in set(definitions[kind]["properties"]) - known_elsewhere:
            assert f"`{part}.{field}`" in text, field
    assert "`token_times_ns`" in text


def test_the_rules_of_the_trials_are_those_of_the_code():
    text = section(METRICS_DOC, "Trials")
    assert f"differ by at most {SETTLED * 100:.0f} %" in text
    assert f"{MAX_WARMUP_TRIALS} at most" in text
    assert f"{MIN_TRIALS}, then until half of each interval" in text
    assert f"is at most {PRECISE * 100:.0f} % of its median; {MAX_TRIALS} at most" in text
    assert f"measures {QUICK_TRIALS} trials and 1 bare one" in text
    assert f"({TrialPlan().budget_s:.0f} by default)" in text
    assert RunSpec("e", "m", "t", "m", "w").case_budget_s == TrialPlan().budget_s
    assert TrialPlan().bare_after == (1, 3, 5), "the first, third and fifth"
    phases = [names_in(row[0])[0] for row in table_rows(text)]
    assert phases == [WARMUP, MEASURE, BARE]


def test_every_field_of_a_generation_is_documented():
    text = (ROOT / "docs" / "generate.md").read_text(encoding="utf-8")
    documented = {name for row in table_rows(text) for name in names_in(row[0])}
    assert documented == set(line_of(0, TextPrompt("", (), "a"), Completion("0")))


def test_every_exit_status_is_documented():
    documented = {row[0] for row in table_rows(section(OUTPUT, "Exit statuses"))}
    statuses = {error.exit_code for error in _errors(ModelTestError)} | {
        0,
        Verdict.INVALID.exit_status,
        INTERNAL_ERROR,
        130,
    }
    assert documented == {str(status) for status in statuses} | {"128 + N"}


def _errors(root: type[ModelTestError]) -> list[type[ModelTestError]]:
    return [root, *(error for child in root.__subclasses__() for error in _errors(child))]


def test_every_verdict_is_documented():
    rows = table_rows(section(OUTPUT, "Verdicts"))
    assert [row[0] for row in rows] == [verdict.value for verdict in Verdict]


def test_the_pandas_snippet_gives_the_gaps_of_the_run(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    task, engine = Performance(), engines.fake.FakeEngine()
    spec = RunSpec(
        *("fake", "performance", "performance", "auto", "none"),
        batch_sizes=((1, 4),),
        cases=(Case(8, 4), Case(4, 3)),
    )
    info = engine.load(spec, None)
    measurements = list(run_measurements(task, engine, info, spec))
    token_latency_csv.TokenLatencyCsv().write(_result(spec, measurements), tmp_path)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(OUTPUT, "python")
    namespace: dict = {}
    exec(block.text, namespace)
    # 1 ms a step and 0.1 ms for each row.
    expected = {(8, 4, 1): 1.1, (8, 4, 4): 1.4, (4, 3, 1): 1.1, (4, 3, 4): 1.4}
    assert namespace["gap_ms"].to_dict() == pytest.approx(expected)
    assert set(namespace["tokens"]["phase"]) == {"measure"}
    assert median(namespace["gap_ms"]) == pytest.approx(1.25)


def _result(spec, measurements):
    model = ModelInfo("auto", "auto", "none", "", None, None, None, 128, 1, None)
    return RunResult(
        *(spec, "2026-01-01T00:00:00+00:00", "complete", model, "fake", None, None, {}),
        measurements=measurements,
    )


def test_options_of_the_fake_engine_are_those_it_describes():
    described = re.findall(r"^    (\w+) {2,}\S.*\[(.+)\]$", engines.fake.__doc__, re.MULTILINE)
    options = FakeOptions()
    assert [name for name, _ in described] == list(FakeOptions.__dataclass_fields__)
    for name, default in described:
        value = getattr(options, name)
        if isinstance(value, float):
            assert float(default) == value
        else:
            assert not value, f"{name}: described as {default}"
            assert not default.isdigit()


def test_every_option_of_the_engine_openai_is_documented():
    text = section(ROOT / "docs" / "endpoints.md", "Options")
    assert [name for name in EndpointOptions.__dataclass_fields__ if f"`{name}`" not in text] == []


def test_engine_options_in_the_documents_exist():
    shown = {
        name
        for path in DOCUMENTS
        for name in re.findall(r"--engine-option (\w+)=", path.read_text(encoding="utf-8"))
    }
    assert shown
    known = (FakeOptions, MindieOptions, EndpointOptions, FaultyOptions)
    assert shown <= {field for options in known for field in options.__dataclass_fields__}


def test_the_changelog_has_an_entry_for_what_is_not_released():
    text = section(ROOT / "CHANGELOG.md", "Unreleased")
    entries = [line for line in text.splitlines() if line.strip()]
    assert entries
    assert all(line.startswith("- ") for line in entries)


def test_every_check_of_an_ascend_machine_is_documented_in_order():
    rows = table_rows(section(ROOT / "docs" / "ascend.md", "Is the machine ready?"))
    documented = [name for row in rows for name in names_in(row[0])]
    documented += [row[0] for row in rows if "`" not in row[0]]
    found = [finding.name for finding in examine(ThisMachine(), AscendPlan(chips=1))]
    assert documented == [*found, *(state.value for state in State)]
