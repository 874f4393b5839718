import re
from pathlib import Path

import pytest

import reports.page
from modeltest.findings import LANGUAGES
from reports.page.rendering import page_kinds
from reports.page.texts import fill, load_texts

FOLDER = Path(reports.page.__file__).parent
SOURCES = [
    *sorted((FOLDER / "templates").glob("*.html")),
    *sorted((FOLDER / "assets").glob("*.js")),
    *sorted(path for path in FOLDER.parent.rglob("*.py")),
]
EVERY_KEY = sorted(
    {key for path in sorted((FOLDER / "texts").glob("*.toml")) for key in load_texts([path.stem])}
)
ARGUMENT = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("name", sorted(page_kinds()))
def test_every_text_of_a_page_is_in_every_language_with_the_same_arguments(name):
    for key, text in load_texts(page_kinds()[name].texts).items():
        assert set(text) == set(LANGUAGES), key
        assert {frozenset(ARGUMENT.findall(text[language])) for language in LANGUAGES} == {
            frozenset(ARGUMENT.findall(text["en"]))
        }, key


def test_every_text_is_used_somewhere():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    # "state.w" is put together from "state." and a letter.
    families = set(re.findall(r"[\"'`](\w+(?:\.\w+)*)\.(?:[\"'`]| ?\$\{|\{)", sources))
    unused = [
        key for key in EVERY_KEY if f'"{key}"' not in sources and key.rpartition(".")[0] not in families
    ]
    assert unused == []


def test_arguments_take_their_places():
    assert fill("{n} of {total}", {"n": 3, "total": "{n}"}) == "3 of {n}"


def test_a_key_may_be_in_one_file_only(monkeypatch, tmp_path):
    (tmp_path / "page.toml").write_text('[a]\nb = { en = "x", zh = "y" }\n', encoding="utf-8")
    (tmp_path / "more.toml").write_text('[a]\nb = { en = "x", zh = "y" }\n', encoding="utf-8")
    monkeypatch.setattr("reports.page.texts._FOLDER", tmp_path)
    from reports.page import texts

    texts._texts_in.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"'a\.b' is in another file"):
            load_texts(["more"])
    finally:
        texts._texts_in.cache_clear()
