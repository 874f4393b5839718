import json
import subprocess
import sys

import jsonschema
import pytest

from modeltest.schema import DIRECTORY, journal_schema, run_schema, schemas

RUNS = {
    "accuracy": "fake sample_BoolQ 4 llama none 1 --engine-option fail_every=7",
    "generation": "fake sample_MMLU 5 4 llama none 1",
    "performance": "fake performance [[16,4]] [1,2] llama none 1 --quick",
    "out_of_memory": "fake performance [[16,4]] [1,2] llama none 1 --engine-option out_of_memory_above=1",
    "max_batch": "fake performance_maxbs [[16,4]] [[1,8]] 1.5 llama none 1",
}


@pytest.mark.parametrize("name", list(schemas()))
def test_the_files_are_those_of_the_contracts(name):
    written = json.loads((DIRECTORY / name).read_text(encoding="utf-8"))
    assert written == schemas()[name], "run: python -m modeltest.schema"
    jsonschema.Draft202012Validator.check_schema(written)


@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_the_files_of_real_runs_are_valid(tmp_path, words):
    command = [sys.executable, "-m", "modeltest", *words.split(), "--output", str(tmp_path)]
    subprocess.run(command, capture_output=True, check=False, timeout=120)
    (directory,) = tmp_path.iterdir()
    jsonschema.validate(json.loads((directory / "run.json").read_text()), run_schema())
    lines = (directory / "samples.jsonl").read_text().splitlines()
    assert lines
    validator = jsonschema.Draft202012Validator(journal_schema())
    for line in lines:
        validator.validate(json.loads(line))


def test_an_unknown_field_is_refused():
    schema = run_schema()
    assert schema["additionalProperties"] is False
    assert "samples" not in schema["properties"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": 1}, schema)
