import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from modeltest.api import MissingExtra
from modeltest.installation import install_command
from reports.page import render
from reports.page.extra import require_packages
from reports.page.policy import policy
from reports.page.rendering import FOLDER, page_kinds

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \u2028 ${x} {{ 7 * 7 }}"

PAGE = """{% extends "layout.html" %}
{% import "parts.html" as parts with context %}
{% block title %}{{ said }}{% endblock %}
{% block main %}<h1>{{ said }}</h1>
<p {{ t_attribute("title", "page.theme") }}>{{ t("page.interval_95", low=said, high=2) }}</p>
{{ parts.verdict("INVALID", [said], "verdict.INVALID") }}{{ parts.interval(0.5, 0.25, 0.75) }}{% endblock %}
{% block data %}{{ data("plain", said) }}{{ packed("small", said) }}{% endblock %}
"""


class Elements(HTMLParser):
    """The elements of a page, each with its attributes and the text directly in it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))
        self._open.append(len(self.found) - 1)

    def handle_data(self, data):
        if self._open:
            self.found[self._open[-1]][2].append(data)

    def handle_endtag(self, tag):
        while self._open and self.found[self._open.pop()][0] != tag:
            pass

    def all(self, tag):
        return [(attributes, "".join(texts)) for name, attributes, texts in self.found if name == tag]


@pytest.fixture
def own_page(monkeypatch, tmp_path):
    """A page `own` made of `PAGE`, beside the templates that are there."""
    pytest.importorskip("jinja2")
    from jinja2 import ChoiceLoader, DictLoader

    from reports.page import rendering as module

    kind = replace(next(iter(page_kinds().values())), template="own.html")
    environment = module._environment()
    monkeypatch.setattr(
        environment, "loader", ChoiceLoader([environment.loader, DictLoader({"own.html": PAGE})])
    )
    monkeypatch.setattr("reports.page.rendering.page_kinds", lambda: {"own": kind})
    return lambda language=None: render("own", {"said": HOSTILE}, language)


def sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_what_a_model_says_becomes_no_element(own_page):
    page = Elements(own_page())
    assert page.all("img") == []
    assert page.all("h1") == [({}, HOSTILE)]
    assert "alert" not in "".join(
        text for attributes, text in page.all("script") if attributes.get("type") in (None, "text/javascript")
    )


def test_the_policy_allows_our_own_styles_and_scripts_and_nothing_else(own_page):
    page = Elements(own_page())
    (content,) = (
        attributes["content"]
        for attributes, _ in page.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in content.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in content
    scripts = [text for attributes, text in page.all("script") if "type" not in attributes]
    assert rules["script-src"].split() == [f"'{sha256(text)}'" for text in scripts]
    assert rules["style-src"].split() == [f"'{sha256(text)}'" for _, text in page.all("style")]


def test_nothing_is_loaded_from_anywhere(own_page):
    page = own_page()
    # Names of SVG and of the like are no addresses to ask.
    assert [url for url in re.findall(r"https?://[^\s\"'<]+", page) if "www.w3.org" not in url] == []
    elements = Elements(page)
    assert [attributes for attributes, _ in elements.all("link")] == [{"rel": "icon", "href": "data:,"}]
    assert not any("src" in attributes for _, attributes, _ in elements.found)
    assert not any("style" in attributes for _, attributes, _ in elements.found), "the policy forbids them"


@pytest.mark.parametrize(("language", "said"), [("en", "Theme"), ("zh", "主题"), (None, "Theme")])
def test_a_page_opens_in_its_language_and_has_both(own_page, language, said):
    page = own_page(language)
    assert f'title="{said}"' in page
    assert "Skip to the content" in page
    assert "跳到正文" in page


def test_equal_content_gives_equal_pages(own_page):
    assert own_page() == own_page()


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="unknown language 'fr'; available: en, zh"):
        render("run_accuracy", {}, "fr")


def test_a_missing_package_is_said_with_the_extra_that_brings_it():
    with pytest.raises(MissingExtra) as caught:
        require_packages("report.html", "json", "no_such_package")
    assert str(caught.value) == (
        f"report.html left out: no_such_package is not installed; `{install_command('report')}` brings it"
    )


def test_a_policy_without_scripts_allows_none():
    assert "script-src 'none'" in policy(styles=["a"], scripts=[])


@pytest.mark.parametrize("path", sorted((FOLDER / "assets").iterdir()), ids=lambda path: path.name)
def test_no_asset_could_end_its_own_element(path):
    text = path.read_text(encoding="utf-8")
    assert "</" not in text
    assert "<!--" not in text
    assert "\r" not in text


def test_every_file_that_a_page_names_is_there():
    for kind in page_kinds().values():
        assert (FOLDER / "templates" / kind.template).is_file()
        assert all((FOLDER / "texts" / f"{name}.toml").is_file() for name in kind.texts)
        assert all((FOLDER / "assets" / name).is_file() for name in (*kind.styles, *kind.scripts))
