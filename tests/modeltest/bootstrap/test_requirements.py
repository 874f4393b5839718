from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.requirements import (
    Project,
    merged_constraints,
    missing,
    needed,
    needed_by_metadata,
    normal_name,
    parse,
    pins,
    project_of,
    requirement_lines,
    unsuitable,
)

PROJECT = Project(
    dependencies=("click>=8.1", "tomli>=2.0; python_version < '3.0'"),
    extras={
        "hf": ("torch>=2.1", "transformers>=4.46", "sentencepiece>=0.2"),
        "report": ("pandas>=2.0",),
        "dev": ("llm-modeltest[hf,report]", "pytest>=8.0", "pandas>=2.0"),
    },
    entry_points=frozenset(),
)
ASCEND = {"torch": "2.1.0", "torch-npu": "2.1.0.post6", "numpy": "1.26.4", "transformers": "4.44.2"}
"""An Ascend container of 2024."""

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4})?", fullmatch=True).filter(
    lambda n: n != "modeltest"
)
VERSIONS = st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}(\.post[0-9]|\+cpu)?", fullmatch=True)
INSTALLED = st.dictionaries(NAMES, VERSIONS, max_size=8)


def names(requirements: tuple[Requirement, ...]) -> list[str]:
    return [requirement.name for requirement in requirements]


def test_names_compare_by_their_normal_form() -> None:
    assert normal_name("Torch_NPU") == normal_name("torch.npu") == "torch-npu"


def test_project_reads_requirements_and_entry_points() -> None:
    project = project_of(
        {
            "project": {
                "dependencies": ["click"],
                "optional-dependencies": {"hf": ["torch"]},
                "scripts": {"modeltest": "modeltest.cli:main"},
                "entry-points": {"modeltest.engines": {"fake": "engines.fake:FakeEngine"}},
            }
        }
    )
    assert project.dependencies == ("click",)
    assert project.extras == {"hf": ("torch",)}
    assert project.entry_points == {
        ("console_scripts", "modeltest", "modeltest.cli:main"),
        ("modeltest.engines", "fake", "engines.fake:FakeEngine"),
    }


def test_project_without_extras_or_scripts_is_valid() -> None:
    assert project_of({"project": {}}) == Project((), {}, frozenset())


def test_no_extras_need_only_the_dependencies_whose_marker_holds() -> None:
    assert names(needed(PROJECT, [])) == ["click"]


def test_extras_of_the_project_itself_are_unfolded_once() -> None:
    expected = ["click", "pytest", "pandas", "torch", "transformers", "sentencepiece"]
    assert names(needed(PROJECT, ["dev", "hf"])) == expected


def test_extras_that_name_each_other_end() -> None:
    circle = Project(("click",), {"a": ("llm-modeltest[b]",), "b": ("llm-modeltest[a]", "rich")}, frozenset())
    assert names(needed(circle, ["a"])) == ["click", "rich"]


def test_metadata_lines_of_extras_are_not_needed() -> None:
    lines = ["click>=8.1", "torch>=2.1; extra == 'hf'", "tomli; python_version < '3.0'"]
    assert names(needed_by_metadata(lines)) == ["click"]


def test_ascend_container_gets_only_what_it_lacks() -> None:
    assert missing(needed(PROJECT, ["hf"]), ASCEND) == ("click>=8.1", "sentencepiece>=0.2")


def test_installed_version_that_is_too_old_is_named_and_not_missing() -> None:
    assert unsuitable(needed(PROJECT, ["hf"]), ASCEND) == ("transformers 4.44.2 (asked for: >=4.46)",)


@pytest.mark.parametrize("version", ["2.1.0.post6", "2.13.0+cpu", "2.2.0a0+gitabc", "built-by-hand"])
def test_vendor_builds_are_suitable(version: str) -> None:
    assert unsuitable((parse("torch>=2.1"),), {"torch": version}) == ()


def test_pins_keep_every_distribution_but_the_project() -> None:
    assert pins({"torch": "2.1.0+cpu", "modeltest": "0.1.0", "numpy": "1.26.4"}) == (
        "numpy==1.26.4",
        "torch==2.1.0+cpu",
    )


def test_version_that_cannot_be_compared_is_pinned_literally() -> None:
    assert pins({"odd": "built-by-hand"}) == ("odd===built-by-hand",)


def test_merged_constraints_prefer_what_is_installed() -> None:
    tested = '# tested\nTorch==2.13.0\nnumpy==2.2.6; python_version < "3.11"\nclick==8.5.1\n'
    assert merged_constraints(tested, ASCEND).splitlines() == [
        "numpy==1.26.4",
        "torch==2.1.0",
        "torch-npu==2.1.0.post6",
        "transformers==4.44.2",
        "click==8.5.1",
    ]


def test_comments_and_blank_lines_constrain_nothing() -> None:
    assert requirement_lines("# a\n\n  click==8.5.1  # why\n") == ["click==8.5.1"]


@given(INSTALLED, st.lists(NAMES, max_size=8))
def test_nothing_installed_is_ever_added(installed: dict[str, str], wanted: list[str]) -> None:
    added = {parse(line).name for line in missing(tuple(parse(name) for name in wanted), installed)}
    assert added == set(wanted) - set(installed)


@given(INSTALLED, INSTALLED)
def test_merged_constraints_allow_no_other_version_of_what_is_installed(
    installed: dict[str, str], tested: dict[str, str]
) -> None:
    text = merged_constraints("".join(f"{name}=={version}\n" for name, version in tested.items()), installed)
    merged = [parse(line) for line in text.splitlines()]
    assert {requirement.name: str(requirement.specifier) for requirement in merged} == {
        name: f"=={version}" for name, version in {**tested, **installed}.items()
    }
    assert len(merged) == len({*tested, *installed})


def test_python_without_packaging_and_pip_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("modeltest.bootstrap.requirements.import_module", refuse)
    with pytest.raises(NotReady, match="ensurepip") as caught:
        parse("click")
    assert sys.executable in str(caught.value)


def test_the_copy_pip_carries_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip._vendor.packaging.requirements")
    monkeypatch.setitem(sys.modules, "packaging", None)
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    monkeypatch.setitem(sys.modules, "packaging.version", None)
    assert missing(needed(PROJECT, ["hf"]), ASCEND) == ("click>=8.1", "sentencepiece>=0.2")
    assert pins({"odd": "by-hand"}) == ("odd===by-hand",)
