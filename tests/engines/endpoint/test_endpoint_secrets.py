"""A key, and whatever a file of headers holds, is in no file, page, log or line that is printed."""

import os
from pathlib import Path

import pytest
from run_processes import COMMAND, run, run_directory
from running_servers import made_server

KEY = "sk-made-5f1c9a77e2"
HEADER = "header-made-0b4d81c6"


def holding(folder, *secrets):
    """Return the files below `folder` in which a secret stands."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


@pytest.fixture
def headers(tmp_path):
    path = tmp_path / "secret" / "headers.txt"
    path.parent.mkdir()
    path.write_text(f"X-Tenant: {HEADER}\n")
    return ["--engine-option", f"headers={path}"]


def variables(key, name="MODELTEST_API_KEY"):
    kept = {k: v for k, v in os.environ.items() if k not in ("MODELTEST_API_KEY", "OPENAI_API_KEY")}
    return {**kept, name: key}


def words(server, *more):
    assert COMMAND
    return ["openai", "sample_BoolQ", "4", "auto", server.url, "1", "--limit", "4", *more]


def test_a_key_opens_the_server_and_is_written_nowhere(headers, tmp_path):
    output = tmp_path / "output"
    with made_server(tmp_path, "vllm", "--api-key", KEY) as server:
        done = run(*words(server, *headers), output=output, env=variables(KEY))
        lines = server.lines()
    asked = [line for line in lines if line["path"] == "/v1/completions"]
    assert asked
    assert not any(line["status"] == 401 for line in lines)
    assert all(line["has_key"] and line["headers"]["x-tenant"] == HEADER for line in asked)
    assert holding(run_directory(output), KEY, HEADER) == []
    assert KEY not in done.stdout + done.stderr
    assert HEADER not in done.stdout + done.stderr
    assert {path.suffix for path in run_directory(output).rglob("*")} >= {".json", ".html", ".jsonl"}


def test_a_key_that_the_server_tells_back_is_hidden(headers, tmp_path):
    output = tmp_path / "output"
    with made_server(tmp_path, "vllm", "--api-key", "another", "--tells-key") as server:
        done = run(*words(server, *headers), output=output, expect=3, env=variables(KEY, "OPENAI_API_KEY"))
    assert "MODELTEST_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert holding(output, KEY, HEADER) == []
