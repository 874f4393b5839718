"""JSON Schemas of the files that hold contracts: runs, journals, comparisons, suites and certificates.

`python -m modeltest.schema` writes the files under `modeltest/schemas/`; a test keeps them up to date.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from modeltest.api import (
    Calibration,
    Certificate,
    Comparison,
    Completion,
    Measurement,
    RunResult,
    Sample,
    Score,
    SuiteResult,
)
from modeltest.machine.files import write_json
from modeltest.run.record import likeness
from modeltest.run.record.directory import ELSEWHERE, SCHEMA_VERSION
from modeltest.run.record.running_digest import KEY

DIRECTORY = Path(__file__).parent / "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMAT_VERSION = 1
"""Of calibrations, suites and certificates."""

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its file name."""
    return {
        "run.schema.json": run_schema(),
        "journal.schema.json": journal_schema(),
        "comparison.schema.json": file_schema(Comparison, "comparison.json", version=2),
        "calibration.schema.json": file_schema(Calibration, "a calibration"),
        "suite.schema.json": file_schema(SuiteResult, "suite.json"),
        "certificate.schema.json": file_schema(Certificate, "certificate.json"),
    }


def run_schema() -> dict[str, Any]:
    """Return the schema of `run.json`."""
    definitions: dict[str, Any] = {}
    whole = _dataclass_schema(RunResult, definitions, leave_out=frozenset(ELSEWHERE))
    whole["properties"] = {"schema": {"const": SCHEMA_VERSION}, **whole["properties"]}
    whole["required"] = ["schema", *whole["required"]]
    return {"$schema": _DIALECT, "title": "run.json of ModelTest", **whole, "$defs": definitions}


def file_schema(kind: type, name: str, *, version: int = FORMAT_VERSION) -> dict[str, Any]:
    """Return the schema of a file that holds one `kind` and the version of its format."""
    definitions: dict[str, Any] = {}
    whole = _dataclass_schema(kind, definitions)
    whole["properties"] = {"format_version": {"const": version}, **whole["properties"]}
    whole["required"] = ["format_version", *whole["required"]]
    return {"$schema": _DIALECT, "title": f"{name} of ModelTest", **whole, "$defs": definitions}


def journal_schema() -> dict[str, Any]:
    """Return the schema of one line of `samples.jsonl`."""
    definitions: dict[str, Any] = {}
    digest = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "sha256 of the digest of the line before and this line up to its digest; "
        "lines of older versions have none.",
    }
    lines = []
    for key, described in (
        ("sample", _schema(Sample, definitions)),
        ("sample", _alike_sample(definitions)),
        ("measurement", _schema(Measurement, definitions)),
    ):
        line = _object({key: described})
        lines.append({**line, "properties": {**line["properties"], KEY: digest}})
    return {
        "$schema": _DIALECT,
        "title": "one line of samples.jsonl of ModelTest",
        "oneOf": lines,
        "$defs": definitions,
    }


def _alike_sample(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a sample that leaves out what an earlier line says."""
    whole = definitions[Sample.__name__]
    count = {"type": "integer", "minimum": 0}
    like = {
        "description": "An earlier line, counted from 1, and how many tokens both prompts begin with.",
        **_object({likeness.LINE: {"type": "integer", "minimum": 1}, likeness.TOKENS: count}),
    }
    score = {**definitions[Score.__name__], "required": [*likeness.IN_EVERY_SCORE]}
    completion = {**definitions[Completion.__name__], "required": [likeness.TOKENS]}
    parts = {**whole["properties"], "score": score, "completion": completion}
    definitions["AlikeSample"] = {
        "description": "A sample whose prompt begins as that of an earlier line: its tokens are those that "
        "follow the common ones, and what score and completion leave out is as it is there.",
        **_object({likeness.KEY: like, **parts}),
    }
    return {"$ref": "#/$defs/AlikeSample"}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(option, definitions) for option in arguments]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__] = _dataclass_schema(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _dataclass_schema(
    kind: Any, definitions: dict[str, Any], leave_out: frozenset[str] | set[str] = frozenset()
) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name not in leave_out]
    described = (kind.__doc__ or "").split("\n\n", maxsplit=1)[0]
    return {
        "description": " ".join(described.split()),
        **_object({name: _schema(hints[name], definitions) for name in names}),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def main() -> None:
    """Write every schema file."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        write_json(DIRECTORY / name, schema)


if __name__ == "__main__":
    main()
