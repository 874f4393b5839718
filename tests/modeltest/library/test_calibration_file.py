import json
from dataclasses import replace

import pytest

from modeltest.api import Calibration, Case, SpecError
from modeltest.compare.calibration import tolerance_of
from modeltest.library.calibration_file import read_calibration, write_calibration

FOUND = Calibration(
    created="2026-01-01T00:00:00+00:00",
    machine={"cpus": 8},
    device="cpu",
    adapter="hf",
    dtype="float32",
    model="llama",
    world_size=1,
    sessions=4,
    risk=0.01,
    tolerances=(
        tolerance_of((Case(8, 4), 1), "tpot_ms", [1.0, 1.0, 1.0, 1.0]),
        tolerance_of((Case(8, 4), 2), "e2e_s", [1.0, 1.0, 1.0, 3.0]),
    ),
)


def test_what_was_written_is_read(tmp_path):
    write_calibration(tmp_path / "c.json", FOUND)
    assert read_calibration(tmp_path / "c.json") == FOUND


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tolerance", value) for value in (-1, 0, 0.009, 1e300, True, "0.1")),
        *(("largest_ratio", value) for value in (0.5, -1.0, 1e300)),
        *(("session_cv", -0.1), ("sessions", 0), ("sessions", True), ("batch_size", 0), ("batch_size", 1.0)),
        *(("metric", "speed"), ("case", {"input_tokens": -8, "output_tokens": 4})),
    ],
)
def test_a_tolerance_that_no_sessions_come_to_is_refused(tmp_path, name, value):
    path = tmp_path / "c.json"
    write_calibration(path, FOUND)
    plain = json.loads(path.read_text())
    plain["tolerances"][0][name] = value
    path.write_text(json.dumps(plain))
    with pytest.raises(SpecError, match=r"c\.json is not a calibration: "):
        read_calibration(path)


@pytest.mark.parametrize("changes", [{"risk": 1.5}, {"risk": -0.1}, {"sessions": 0}, {"world_size": -1}])
def test_so_are_other_numbers_that_mean_nothing(tmp_path, changes):
    path = tmp_path / "c.json"
    write_calibration(path, replace(FOUND, **changes))
    with pytest.raises(SpecError, match=f"{next(iter(changes))} is "):
        read_calibration(path)


@pytest.mark.parametrize("spelled", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_refused(tmp_path, spelled):
    path = tmp_path / "c.json"
    write_calibration(path, FOUND)
    path.write_text(path.read_text().replace('"risk": 0.01', f'"risk": {spelled}'))
    with pytest.raises(SpecError, match="number"):
        read_calibration(path)
