"""SVG by matplotlib made fit for a page: without style attributes, in its colours and languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape

from reports.page.payload import script_json
from reports.plots.palette import TOKENS

_BEFORE_ROOT = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_STYLE_ELEMENT = re.compile(r"<defs>\s*<style\b.*?</style>\s*</defs>", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_ROOT = re.compile(r"<svg\b[^>]*?(viewBox=\"[^\"]*\")[^>]*>")
_STYLE = re.compile(r' style="([^"]*)"')
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r"(href=\"|url\()#([\w-]+)")
_TEXT = re.compile(r"(<text\b[^>]*)>([^<]*)</text>")
_OWN_FONT = frozenset({"font-family", "font-stretch", "font-variant"})
"""What the page says better."""


@dataclass(frozen=True, slots=True)
class PageText:
    """A text of the page by its key, with its arguments."""

    key: str
    arguments: Mapping[str, object]


def page_svg(svg: str, *, prefix: str, label: str, texts: Mapping[str, PageText]) -> str:
    """Return `svg` as an element of a page.

    The content security policy of a page forbids style attributes: they become presentation attributes, and
    known colours the tokens of the page's theme. Ids begin with `prefix`, so that two plots share none.
    `label` says to those who cannot see it what the plot shows. `texts` are those that can be translated.
    """
    for noise in (_BEFORE_ROOT, _COMMENT, _STYLE_ELEMENT, _METADATA):
        svg = noise.sub("", svg)
    svg = _ROOT.sub(lambda root: f'<svg {root[1]} role="img" aria-label="{escape(label)}">', svg, count=1)
    svg = _STYLE.sub(_as_attributes, svg)
    svg = _with_own_ids(svg, prefix)
    return _TEXT.sub(lambda text: _translatable(text, texts), svg)


def _as_attributes(match: re.Match[str]) -> str:
    pairs = (part.split(":", 1) for part in unescape(match[1]).split(";") if ":" in part)
    return "".join(
        f' {name.strip()}="{escape(_tokens(value.strip()))}"'
        for name, value in pairs
        if name.strip() not in _OWN_FONT
    )


def _tokens(value: str) -> str:
    return _COLOUR.sub(lambda found: f"var(--{TOKENS[found[0]]})" if found[0] in TOKENS else found[0], value)


def _with_own_ids(svg: str, prefix: str) -> str:
    used = {name for _, name in _REFERENCE.findall(svg)}
    svg = _ID.sub(lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    return _REFERENCE.sub(lambda found: f"{found[1]}#{prefix}-{found[2]}", svg)


def _translatable(match: re.Match[str], texts: Mapping[str, PageText]) -> str:
    found = texts.get(unescape(match[2]).strip())
    if found is None:
        return match[0]
    values = f' data-a="{escape(script_json(dict(found.arguments)))}"' if found.arguments else ""
    return f'{match[1]} data-t="{found.key}"{values}>{match[2]}</text>'
