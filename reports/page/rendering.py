"""A page from its template: layout, texts, styles, scripts and policy put together into one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeltest.api import Finding
from modeltest.findings import ENGLISH, LANGUAGES, in_every_language
from modeltest.findings import sentences as in_words
from modeltest.plain.toml_file import read_toml
from reports.page.extra import require_packages
from reports.page.formats import FILTERS
from reports.page.payload import PACKED, packed_json, script_json
from reports.page.policy import policy
from reports.page.texts import Texts, fill, load_texts

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FOLDER = Path(__file__).parent

_EARLY = "early.js"
_STYLES = ("page.css",)
_SCRIPTS = ("page.js",)


@dataclass(frozen=True, slots=True)
class PageKind:
    """What a page is made of: file names under `templates/`, `texts/` and `assets/`."""

    template: str
    texts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()


def render(template_name: str, context: Mapping[str, object], language: str | None = None) -> str:
    """Return the page `template_name` of `pages.toml` as HTML, every value in `context` escaped.

    It opens in `language`; `None` leaves that to the reader's browser. Either way it holds all languages.

    Raises: MissingExtra without jinja2; ValueError for a language that the pages do not speak.
    """
    require_packages("the page", "jinja2")
    if language not in (None, *LANGUAGES):
        raise ValueError(f"unknown language {language!r}; available: {', '.join(LANGUAGES)}")
    kind = page_kinds()[template_name]
    texts = load_texts(kind.texts)
    assets = _Assets(
        early=_asset(_EARLY),
        styles=tuple(_asset(name) for name in (*_STYLES, *kind.styles)),
        scripts=tuple(_asset(name) for name in (*_SCRIPTS, *kind.scripts)),
    )
    template = _environment().get_template(kind.template)
    page: str = template.render(
        **_functions(texts, language or LANGUAGES[0]),
        language=language,
        policy=policy(styles=assets.styles, scripts=(assets.early, *assets.scripts)),
        assets=assets.as_markup(),
        texts=texts,
        **context,
    )
    # Lone surrogates, which broken tokenizers make, cannot be written as UTF-8.
    return page.encode("utf-8", errors="replace").decode()


@cache
def page_kinds() -> Mapping[str, PageKind]:
    """Return every page there is, by its name."""
    table = read_toml(FOLDER / "pages.toml")
    return {
        name: PageKind(
            template=row["template"],
            texts=tuple(row.get("texts", ())),
            styles=tuple(row.get("styles", ())),
            scripts=tuple(row.get("scripts", ())),
        )
        for name, row in table.items()
    }


@dataclass(frozen=True, slots=True)
class _Assets:
    early: str
    styles: Sequence[str]
    scripts: Sequence[str]

    def as_markup(self) -> Mapping[str, Sequence[Markup]]:
        from markupsafe import Markup

        return {
            "early": [Markup(self.early)],
            "styles": [Markup(text) for text in self.styles],
            "scripts": [Markup(text) for text in self.scripts],
        }


@cache
def _asset(name: str) -> str:
    return (FOLDER / "assets" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _functions(texts: Texts, language: str) -> dict[str, Any]:
    """Return what templates call: for words, for `sentences` of findings, and for data."""
    from markupsafe import Markup, escape

    def plain(key: str, /, **arguments: object) -> str:
        return fill(texts[key][language], arguments)

    def t(key: str, /, **arguments: object) -> Markup:
        values = Markup(' data-a="{}"').format(script_json(arguments)) if arguments else ""
        return Markup('<span data-t="{}"{}>{}</span>').format(key, values, plain(key, **arguments))

    def t_attribute(name: str, key: str, /) -> Markup:
        return Markup('{}="{}" data-t-{}="{}"').format(Markup(name), plain(key), Markup(name), key)

    def sentences(recorded: Sequence[str], findings: Sequence[Finding]) -> list[Markup]:
        return [_said(each, language) for each in in_every_language(recorded, findings)]

    def by_language(texts_of_one: Mapping[str, str]) -> Markup:
        return _said(texts_of_one, language)

    def spoken(findings: Sequence[Finding]) -> list[Markup]:
        return sentences(in_words(findings), findings)

    def data(name: str, value: object) -> Markup:
        content = Markup(script_json(value))
        return Markup('<script type="application/json" id="{}">{}</script>').format(escape(name), content)

    def packed(name: str, value: object) -> Markup:
        content = Markup(packed_json(value))
        return Markup('<script type="{}" id="{}">{}</script>').format(PACKED, escape(name), content)

    return {
        "plain": plain,
        "t": t,
        "t_attribute": t_attribute,
        "sentences": sentences,
        "spoken": spoken,
        "by_language": by_language,
        "data": data,
        "packed": packed,
    }


def _said(by_language: Mapping[str, str], language: str) -> Markup:
    """Return a sentence that page.js shows in the language of the page, where it is there in that."""
    from markupsafe import Markup

    shown = language if language in by_language else ENGLISH
    if len(by_language) == 1:
        return Markup('<span lang="{}">{}</span>').format(shown, by_language[shown])
    span = Markup('<span lang="{}" data-said="{}">{}</span>')
    return span.format(shown, script_json(by_language), by_language[shown])
