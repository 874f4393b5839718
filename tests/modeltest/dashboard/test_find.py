import os
from pathlib import Path

import pytest

from modeltest.api import SpecError
from modeltest.dashboard.find import find_runs, report_of, signature


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "deep/er/b", "deep/c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "deep" / "notes.txt").write_text("no run")
    return tmp_path


def names(root: Path, found) -> list[str]:
    return [str(one.directory.relative_to(root)) for one in found if one.problem is None]


def test_runs_are_found_at_any_depth_in_the_order_of_their_paths(runs):
    assert names(runs, find_runs([runs])) == ["a", "deep/c", "deep/er/b"]


def test_a_run_given_itself_is_found(runs):
    assert names(runs, find_runs([runs / "deep" / "c"])) == ["deep/c"]


def test_folders_that_overlap_give_each_run_once(runs):
    assert len(find_runs([runs, runs / "deep", runs / "a"])) == 3


def test_nothing_is_looked_for_inside_a_run(runs):
    inside = runs / "a" / "partial"
    inside.mkdir()
    (inside / "run.json").write_text("{}")
    assert len(find_runs([runs])) == 3


def test_what_is_left_out_and_what_is_hidden_is_passed_over(runs):
    hidden = runs / ".cache"
    hidden.mkdir()
    (hidden / "run.json").write_text("{}")
    assert names(runs, find_runs([runs], leave_out=[runs / "deep"])) == ["a"]


def test_a_link_counts_as_root_but_is_not_followed_below(runs, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "link").symlink_to(runs)
    assert find_runs([elsewhere]) == []
    assert len(find_runs([elsewhere / "link"])) == 3


def test_a_link_to_a_folder_above_ends(runs):
    (runs / "deep" / "loop").symlink_to(runs)
    assert len(find_runs([runs])) == 3


@pytest.mark.parametrize("name", ["20260101-120000_full_BoolQ_m_hf", "renamed"])
def test_a_directory_of_a_run_without_run_json_is_found_with_the_problem(tmp_path, name):
    (tmp_path / name).mkdir()
    if name == "renamed":
        (tmp_path / name / "samples.jsonl").write_text("")
    (found,) = find_runs([tmp_path])
    assert found.problem == "it has no run.json"


def test_a_folder_named_like_a_run_that_holds_runs_is_no_run(tmp_path):
    inside = tmp_path / "20260101-120000_suite" / "one"
    inside.mkdir(parents=True)
    (inside / "run.json").write_text("{}")
    assert [one.problem for one in find_runs([tmp_path])] == [None]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed_is_found_with_the_problem(runs):
    (runs / "deep").chmod(0)
    problems = [one.problem for one in find_runs([runs]) if one.problem]
    (runs / "deep").chmod(0o700)
    assert problems == ["cannot be listed: Permission denied"]


@pytest.mark.parametrize(("name", "what"), [("nowhere", "does not exist"), ("deep/notes.txt", "is a file")])
def test_a_root_that_is_no_folder_is_refused(runs, name, what):
    with pytest.raises(SpecError, match=rf"{what}; give the directory of a run"):
        find_runs([runs / name])


def test_the_signature_stays_while_nothing_is_written(runs):
    assert signature(runs / "a") == signature(runs / "a")


@pytest.mark.parametrize("name", ["run.json", "samples.jsonl", "report.html"])
def test_the_signature_notices_a_file_put_in_place_of_one_of_equal_size_and_time(runs, name):
    path = runs / "a" / name
    path.write_text("[]")
    before, times = signature(runs / "a"), (1_000_000_000, 1_000_000_000)
    os.utime(path, times)
    other = runs / "a" / "other"
    other.write_text("{}")
    os.utime(other, times)
    other.replace(path)
    assert signature(runs / "a") != before


def test_the_report_of_a_whole_run_comes_before_that_of_a_part(runs):
    assert report_of(runs / "a") is None
    (runs / "a" / "partial").mkdir()
    partial = runs / "a" / "partial" / "report.html"
    partial.write_text("part")
    assert report_of(runs / "a") == partial
    (runs / "a" / "report.html").write_text("whole")
    assert report_of(runs / "a") == runs / "a" / "report.html"
