import json
import subprocess
import sys
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

import pytest

from modeltest.api import DatasetError, PrerequisiteError, SpecError
from modeltest.data import card as dataset_card
from modeltest.data.card import Role, SplitCard, card_names, cards_root, load_card, read_card

CHECKOUT = Path(__file__).resolve().parents[3]
INSTALLED = any(found.metadata["Name"] == "datasets" for found in distributions())
CARD = """
name = "tiny"
title = "Tiny"
licence = "MIT"
homepage = "https://example.org"
archives = []
hub_ids = ["a/b"]
format = "csv"
answers = "letter"
fields = ["question", "A", "B", "C", "D", "answer"]
hub = {{ id = "a/b", config = "all", rows = "columns" }}
{extra}
[[splits]]
role = "evaluation"
name = "test"
files = "test/{{subject}}.csv"
columns = ["question", "A", "B", "C", "D", "answer"]
rows = 2
[subjects]
one = {{ category = "STEM", hard = true }}
"""


def write_card(folder: Path, extra: str = "") -> Path:
    folder.mkdir(parents=True)
    path = folder / "dataset.toml"
    path.write_text(CARD.format(extra=extra), encoding="utf-8")
    return path


def test_every_dataset_has_a_card() -> None:
    assert card_names() == ("boolq", "ceval", "gsm8k", "humaneval", "mmlu")


@pytest.mark.parametrize("name", card_names())
def test_a_card_is_named_like_its_folder(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert Path(card.folder) == cards_root() / name


@pytest.mark.parametrize("name", card_names())
def test_a_dataset_of_an_accuracy_task_has_a_sample_and_any_other_says_what_its_prompts_are(
    name: str,
) -> None:
    card = load_card(name)
    assert card.sample_folder.is_dir() == (card.prompt_field is None)
    assert card.prompt_field is None or card.prompt_field in card.fields


@pytest.mark.parametrize("name", card_names())
def test_splits_name_only_subjects_and_columns_that_exist(name: str) -> None:
    card = load_card(name)
    for split in card.splits:
        fields = {split.rename.get(column, column) for column in split.columns}
        assert set(card.fields) <= fields
        assert set(split.crlf) | set(split.no_final_newline) <= set(card.subjects) | {"*"}
        assert split.sha256 is None or len(split.sha256) == 64


def test_mmlu_subjects_fall_into_the_authors_categories() -> None:
    card = load_card("mmlu")
    categories = Counter(facts["category"] for facts in card.subjects.values())
    assert categories == {"STEM": 18, "humanities": 13, "social sciences": 12, "other": 14}


def test_anatomy_is_other_and_statistics_is_stem() -> None:
    subjects = load_card("mmlu").subjects
    assert subjects["anatomy"]["category"] == "other"
    assert subjects["high_school_statistics"]["category"] == "STEM"
    assert subjects["high_school_geography"]["category"] == "social sciences"
    assert subjects["formal_logic"]["category"] == "humanities"


def test_ceval_subjects_fall_into_the_authors_categories() -> None:
    card = load_card("ceval")
    categories = Counter(facts["category"] for facts in card.subjects.values())
    assert categories == {"STEM": 20, "Social Science": 10, "Humanities": 11, "Other": 11}


def test_ceval_hard_has_eight_stem_subjects() -> None:
    hard = {key: facts for key, facts in load_card("ceval").subjects.items() if facts.get("hard") == "true"}
    assert sorted(hard) == [
        "advanced_mathematics",
        "college_chemistry",
        "college_physics",
        "discrete_mathematics",
        "high_school_chemistry",
        "high_school_mathematics",
        "high_school_physics",
        "probability_and_statistics",
    ]
    assert {facts["category"] for facts in hard.values()} == {"STEM"}


def test_ceval_names_are_those_of_the_official_mapping(shared_data: Path) -> None:
    mapping = json.loads((shared_data / "ceval/subject_mapping.json").read_text(encoding="utf-8"))
    ours = {
        key: [facts["english"], facts["chinese"], facts["category"]]
        for key, facts in load_card("ceval").subjects.items()
    }
    assert ours == mapping


def test_mmlu_subjects_are_the_stems_of_the_official_files(shared_data: Path) -> None:
    stems = {path.name.removesuffix("_test.csv") for path in (shared_data / "mmlu/test").iterdir()}
    assert set(load_card("mmlu").subjects) == stems


def test_an_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(
        SpecError, match="unknown dataset 'mmlv'; available: boolq, ceval, gsm8k, humaneval, mmlu"
    ):
        load_card("mmlv")


def test_a_dataset_name_cannot_leave_the_cards_folder() -> None:
    with pytest.raises(SpecError, match="unknown dataset"):
        load_card("../datasets/boolq")


def test_facts_of_a_subject_become_text(tmp_path: Path) -> None:
    card = read_card(write_card(tmp_path / "tiny"))
    assert card.subjects == {"one": {"category": "STEM", "hard": "true"}}


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("colour = 'red'", "colour"),
        ("header = 'yes'", "DatasetCard.header"),
        ("header =", "not a dataset card"),
    ],
)
def test_a_card_that_does_not_fit_names_file_and_field(tmp_path: Path, extra: str, named: str) -> None:
    path = write_card(tmp_path / "tiny", extra)
    with pytest.raises(DatasetError) as raised:
        read_card(path)
    assert str(path) in str(raised.value)
    assert named in str(raised.value)


def test_files_are_in_c_locale_order_of_their_paths() -> None:
    split = SplitCard(Role.EVALUATION, "test", "test/{subject}_test.csv", ("a",), 1)
    # In the C locale upper case comes before "_" and "_" before lower case.
    assert list(split.paths(["law", "law_b", "lawB", "é", "Z"])) == ["Z", "lawB", "law_b", "law", "é"]


def test_cards_of_a_wheel_win_over_a_neighbour_called_datasets(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "modeltest"
    write_card(package / "_datasets" / "tiny")
    write_card(tmp_path / "site-packages" / "datasets" / "other")
    assert dataset_card._cards_root_of(package) == package / "_datasets"


def test_cards_of_a_checkout_lie_beside_the_package(tmp_path: Path) -> None:
    write_card(tmp_path / "datasets" / "tiny")
    assert dataset_card._cards_root_of(tmp_path / "modeltest") == tmp_path / "datasets"


def test_the_hugging_face_package_is_not_taken_for_cards(tmp_path: Path) -> None:
    hugging_face = tmp_path / "datasets"
    hugging_face.mkdir()
    (hugging_face / "__init__.py").touch()
    with pytest.raises(PrerequisiteError, match="reinstall modeltest"):
        dataset_card._cards_root_of(tmp_path / "modeltest")


def test_the_datasets_folder_holds_no_python() -> None:
    assert not list(cards_root().rglob("*.py"))


@pytest.mark.skipif(not INSTALLED, reason="the Hugging Face package is not installed")
def test_our_datasets_folder_does_not_hide_the_hugging_face_package() -> None:
    code = "import datasets; print(datasets.__file__); datasets.load_dataset"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert Path(result.stdout.strip()).parent != CHECKOUT / "datasets"


@pytest.mark.parametrize("subjects", ["subjects = 3", 'subjects = { one = "STEM" }', "subjects = [1]"])
def test_subjects_that_are_no_tables_are_refused(tmp_path: Path, subjects: str) -> None:
    path = tmp_path / "dataset.toml"
    path.write_text(subjects, encoding="utf-8")
    with pytest.raises(DatasetError, match="subjects are no table with a table for each subject"):
        read_card(path)


@pytest.mark.parametrize(
    "files",
    ["{0}.csv", "{subject", "{x}.csv", "{subject.a}", "../x.csv", "/x.csv", "", "a" * 300, "a\\u0000b"],
)
def test_files_that_are_no_paths_inside_the_folder_are_refused(tmp_path: Path, files: str) -> None:
    path = write_card(tmp_path / "tiny")
    text = path.read_text(encoding="utf-8").replace("test/{subject}.csv", files)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match="not a dataset card"):
        read_card(path)


@pytest.mark.parametrize(
    ("fields", "optional", "told"),
    [
        (["question", "answer"], [], "none"),
        (["question", "A", "answer"], ["B"], "A, B"),
        (["question", "A", "B", "D", "answer"], ["C"], "A, B, D, C"),
        (["question", "B", "C", "answer"], [], "B, C"),
    ],
)
def test_letters_without_the_options_they_name_are_refused(fields, optional, told, tmp_path: Path) -> None:
    path = write_card(tmp_path / "tiny", f"optional_fields = {json.dumps(optional)}")
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace(
            'fields = ["question", "A", "B", "C", "D", "answer"]', f"fields = {json.dumps(fields)}", 1
        ),
        encoding="utf-8",
    )
    with pytest.raises(DatasetError, match=f"answers are letters, and the options are {told}: expected A, B"):
        read_card(path)
