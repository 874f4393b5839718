"""A Chinese edition has what the English document has: sections, code, tables, links, figures."""

import re
from collections import Counter
from pathlib import Path

import pytest
from doc_blocks import TRANSLATIONS, anchors, blocks, inline_code, links

HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"(?<![A-Za-z0-9_.])\d+(?:[.,]\d+)*")
CHINESE = re.compile(r"[\u4e00-\u9fff]")

pairs = pytest.mark.parametrize(
    ("english", "chinese"), TRANSLATIONS.items(), ids=lambda path: f"{path.parent.name}/{path.name}"
)


def sections(path: Path) -> list[tuple[str, str, str]]:
    """Return level, title and text of each section, code blocks left in; a # in code is no heading."""
    text = path.read_text(encoding="utf-8")
    hidden = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    found = list(HEADING.finditer(hidden))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [(match[1], match[2], text[match.end() : end]) for match, end in zip(found, ends, strict=True)]


def by_section(english: Path, chinese: Path):
    """Return the sections in pairs; how many there are is another test."""
    for (_, title, text), (_, translated, other) in zip(sections(english), sections(chinese), strict=True):
        yield f"{title} / {translated}", FENCE.sub("", text), FENCE.sub("", other)


@pairs
def test_sections_are_the_same_and_none_is_missing(english, chinese):
    levels = [level for level, _, _ in sections(english)]
    translated = [level for level, _, _ in sections(chinese)]
    titles = [title for _, title, _ in sections(english)]
    assert translated == levels, (
        f"{chinese.name} must have the sections of {english.name}: {'; '.join(titles)}; "
        f"it has {'; '.join(title for _, title, _ in sections(chinese))}"
    )


@pairs
def test_code_blocks_are_the_same_byte_for_byte(english, chinese):
    code = [(block.language, block.text) for block in blocks(english)]
    translated = [(block.language, block.text) for block in blocks(chinese)]
    assert translated == code, f"copy the code blocks of {english.name} into {chinese.name}"


@pairs
def test_tables_have_the_same_rows_and_columns(english, chinese):
    for where, text, other in by_section(english, chinese):
        shape = [line.count("|") for line in text.splitlines() if line.startswith("|")]
        assert [line.count("|") for line in other.splitlines() if line.startswith("|")] == shape, where


@pairs
def test_lists_have_the_same_items(english, chinese):
    item = re.compile(r"^ *(?:-|\d+\.) ", re.MULTILINE)
    for where, text, other in by_section(english, chinese):
        assert len(item.findall(other)) == len(item.findall(text)), where


@pairs
def test_inline_code_is_the_same(english, chinese):
    assert Counter(inline_code(chinese)) == Counter(inline_code(english))


@pairs
def test_links_lead_to_the_same_places(english, chinese):
    """Where the target has a Chinese edition, that is linked; headings within it have other names."""
    edition = {path.name: other.name for path, other in TRANSLATIONS.items()}
    there = [_without_anchor(link) for link in links(chinese)]
    expected = [_without_anchor(link) for link in links(english)]
    assert [edition.get(Path(link).name, Path(link).name) for link in expected[1:]] == [
        Path(link).name for link in there[1:]
    ]
    assert ["#" in link for link in links(chinese)] == ["#" in link for link in links(english)]


def _without_anchor(link: str) -> str:
    return link.partition("#")[0]


@pairs
def test_the_editions_link_each_other_at_the_top(english, chinese):
    assert links(english)[0] == chinese.name
    assert links(chinese)[0] == english.name


@pairs
def test_figures_are_the_same(english, chinese):
    for where, text, other in by_section(english, chinese):
        assert Counter(FIGURE.findall(_prose(other))) == Counter(FIGURE.findall(_prose(text))), where


@pairs
def test_it_is_translated(english, chinese):
    for title, translated in zip(sections(english), sections(chinese), strict=True):
        assert CHINESE.search(translated[1]) or translated[1] == title[1], translated[1]
    text = _prose(FENCE.sub("", chinese.read_text(encoding="utf-8")))
    assert len(CHINESE.findall(text)) > len(re.findall(r"\b[a-z]{3,}\b", text))
    assert not re.search(r"[\u4e00-\u9fff][,;:]", text), "Chinese punctuation is full-width"


def _prose(text: str) -> str:
    """Return `text` without code, links and comments."""
    return re.sub(r"<!--.*?-->|`[^`]+`|\]\([^)]+\)", " ", text, flags=re.DOTALL)


@pairs
def test_links_within_the_chinese_edition_lead_somewhere(english, chinese):
    for link in links(chinese):
        target, _, anchor = link.partition("#")
        if link.startswith("http") or not anchor:
            continue
        file = (chinese.parent / target).resolve() if target else chinese
        assert anchor in anchors(file), link


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("### 显存\n", "显存\n", test_sections_are_the_same_and_none_is_missing),
        ("### 显存\n", "## 显存\n", test_sections_are_the_same_and_none_is_missing),
        (
            "export TASK_QUEUE_ENABLE=0",
            "export TASK_QUEUE_ENABLE=1",
            test_code_blocks_are_the_same_byte_for_byte,
        ),
        ("| `LCCL_ENABLE_FALLBACK` | 由模型配置设置 | |\n", "", test_tables_have_the_same_rows_and_columns),
        ("- FARunner 对每个答案", "FARunner 对每个答案", test_lists_have_the_same_items),
        ("`USE_ASCEND=0` 后", "`USE_ASCEND` 后", test_inline_code_is_the_same),
        ("](generate.md)", "](checkpoints.md)", test_links_lead_to_the_same_places),
        ("不超过 50 ms", "不超过 40 ms", test_figures_are_the_same),
        ("## 模型支持", "## Models supported", test_it_is_translated),
        ("为升序，否则", "为升序, 否则", test_it_is_translated),
    ],
)
def test_drift_is_noticed(old, new, check, tmp_path):
    english = next(path for path in TRANSLATIONS if path.name == "ascend.md")
    text = TRANSLATIONS[english].read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / TRANSLATIONS[english].name
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(AssertionError):
        check(english, changed)
