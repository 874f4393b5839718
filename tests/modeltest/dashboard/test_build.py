import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from dashboard_runs import BOOLQ, LATENCY, Change, Plan, nights, write_run

from modeltest import registry
from modeltest.api import Dashboard, Mark, PrerequisiteError
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard import load
from modeltest.dashboard.build import LOCK_FILE, build_site


class PlainSite:
    """Writes how many runs there are."""

    name = "html"

    def build(self, dashboard: Dashboard, directory, *, language):
        page = directory / "index.html"
        page.write_text(f"{len(dashboard.runs)} runs")
        return [page]


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setattr(registry, "site_builder", PlainSite)


def build(out, *roots, **options):
    asked = {"tolerances": Tolerances(), "language": None, "tell": print, **options}
    return build_site(roots, out, **asked)


def marks(built, family):
    return [
        "".join(point.compared.mark.value[0] for point in series.points)
        for history in built.dashboard.histories
        for series in history.series
        if series.family == family and not series.case.startswith(("category", "group"))
    ]


def test_a_history_has_every_number_of_every_run_and_what_became_worse(tmp_path):
    slower = replace(LATENCY, changes=(Change(first=2, last=None, time=1.2),))
    runs = nights(tmp_path / "runs", slower, 4)
    built = build(tmp_path / "site", tmp_path / "runs")
    (history,) = built.dashboard.histories
    assert (history.model, history.task, history.engine, history.device) == (
        "aurora-7b",
        "performance",
        "pa_fp16 (mindie_pa)",
        "npu",
    )
    assert [built.dashboard.runs[key].directory for key in history.runs] == [str(path) for path in runs]
    assert marks(built, "tpot_ms") == ["usrr"] * 4
    assert marks(built, "output_tokens_per_s") == ["uuuu"] * 4
    tpot = next(series for series in history.series if series.family == "tpot_ms")
    assert all(point.low <= point.value <= point.high for point in tpot.points)
    assert {point.compared.reference for point in tpot.points[1:]} == {history.runs[0]}


def test_the_order_of_reading_does_not_matter(tmp_path):
    worse = replace(BOOLQ, changes=(Change(first=2, last=None, accuracy=-0.2),))
    runs = nights(tmp_path / "runs", worse, 4)
    at_once = build(tmp_path / "one", tmp_path / "runs")
    for path in (runs[3], runs[0], runs[2], runs[1]):
        one_by_one = build(tmp_path / "other", path)
    assert marks(at_once, "accuracy") == marks(one_by_one, "accuracy") == ["usrr"]


def test_what_was_compared_is_not_compared_again(tmp_path, monkeypatch):
    nights(tmp_path / "runs", BOOLQ, 3)
    first = build(tmp_path / "site", tmp_path / "runs")
    monkeypatch.setattr(load, "compare_runs", None)
    assert build(tmp_path / "site", tmp_path / "runs").dashboard == first.dashboard


def test_other_tolerances_judge_anew(tmp_path):
    worse = replace(BOOLQ, changes=(Change(first=1, last=None, accuracy=-0.2),))
    nights(tmp_path / "runs", worse, 2, questions=200)
    assert marks(build(tmp_path / "site", tmp_path / "runs"), "accuracy") == ["ur"]
    lenient = build(tmp_path / "site", tmp_path / "runs", tolerances=Tolerances(max_drop=0.5))
    assert marks(lenient, "accuracy") == ["us"]


def test_an_accepted_run_is_the_reference_from_then_on(tmp_path):
    worse = replace(BOOLQ, changes=(Change(first=1, last=None, accuracy=-0.2),))
    runs = nights(tmp_path / "runs", worse, 3, questions=200)
    assert marks(build(tmp_path / "site", tmp_path / "runs"), "accuracy") == ["urr"]
    assert marks(build(tmp_path / "site", tmp_path / "runs", accepted=[runs[1]]), "accuracy") == ["urs"]
    assert marks(build(tmp_path / "site", tmp_path / "runs"), "accuracy") == ["urs"]


def test_a_reference_that_is_deleted_is_replaced_by_the_next(tmp_path):
    runs = nights(tmp_path / "runs", BOOLQ, 3)
    build(tmp_path / "site", tmp_path / "runs")
    shutil.rmtree(runs[0])
    assert marks(build(tmp_path / "site", tmp_path / "runs"), "accuracy") == ["us"]


def test_other_models_tasks_and_engines_have_histories_of_their_own(tmp_path):
    for place, line in enumerate(
        (BOOLQ, LATENCY, replace(BOOLQ, model="other"), replace(BOOLQ, quantize="w8a8"))
    ):
        write_run(tmp_path / "runs", Plan(line, 0, place), questions=60)
    built = build(tmp_path / "site", tmp_path / "runs")
    assert len(built.dashboard.histories) == 4
    assert len({history.key for history in built.dashboard.histories}) == 4


def test_a_site_within_the_folder_of_the_runs_is_not_taken_for_one(tmp_path):
    nights(tmp_path, BOOLQ, 1)
    for _ in range(2):
        built = build(tmp_path / "site", tmp_path)
        assert len(built.dashboard.runs) == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrerequisiteError, match="choose another --out DIR"):
        build(tmp_path / "file" / "site", tmp_path)


BUILDER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_build
test_build.registry.site_builder = test_build.PlainSite
test_build.build(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_two_that_build_one_site_at_once_take_turns(tmp_path):
    nights(tmp_path / "runs", BOOLQ, 6)
    code = BUILDER.format(tests=os.path.dirname(__file__))  # noqa: PTH120
    paths = os.pathsep.join([*sys.path])
    words = [sys.executable, "-c", code, str(tmp_path / "site"), str(tmp_path / "runs")]
    both = [subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths}) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    assert (tmp_path / "site" / "index.html").read_text() == "6 runs"
    connection = sqlite3.connect(tmp_path / "site" / "index.sqlite")
    assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(6,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_one_who_waits_for_another_says_so(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    nights(tmp_path / "runs", BOOLQ, 1)
    (tmp_path / "site").mkdir()
    told = []
    with (tmp_path / "site" / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def tell(line):
            told.append(line)
            fcntl.flock(lock, fcntl.LOCK_UN)

        build(tmp_path / "site", tmp_path / "runs", tell=tell)
    assert told == [f"waiting: another process is building {tmp_path / 'site'}"]


def test_marks_are_those_that_others_read_from_the_index(tmp_path):
    worse = replace(BOOLQ, changes=(Change(first=1, last=None, accuracy=-0.2),))
    nights(tmp_path / "runs", worse, 2, questions=200)
    build(tmp_path / "site", tmp_path / "runs")
    connection = sqlite3.connect(tmp_path / "site" / "index.sqlite")
    ((mark, change),) = connection.execute("SELECT mark, change FROM comparisons").fetchall()
    connection.close()
    assert mark == Mark.REGRESSION.value
    assert change < -0.1
