"""The table of models of `docs/ascend.md` and its Chinese edition, made from `models.toml`.

`python -m modeltest.models.matrix docs/ascend.md docs/ascend.zh.md` writes it between its markers; a test
keeps it up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modeltest.models.profiles import DocumentedCheckpoints, ModelProfile, model_keys, profile

BEGIN = "<!-- models: written by python -m modeltest.models.matrix -->"
END = "<!-- end of models -->"

UNKNOWN = "?"
NOT_THERE = "–"
OLDER = "*"

ENGLISH, CHINESE = "en", "zh"

_HEADERS: Mapping[str, Sequence[str]] = {
    ENGLISH: (
        "model word",
        "chips",
        "in MindIE",
        "checkpoints",
        "800I A2",
        "300I DUO",
        "dtype",
        "attention",
        "quantised",
        "long context",
    ),
    CHINESE: (
        "模型名",
        "默认卡数",
        "MindIE 支持",
        "权重",
        "800I A2",
        "300I DUO",
        "数据类型",
        "Attention",
        "量化",
        "长序列",
    ),
}
_YES_OR_NO: Mapping[str, Mapping[bool, str]] = {
    ENGLISH: {True: "yes", False: "no"},
    CHINESE: {True: "是", False: "否"},
}


def matrix(language: str) -> str:
    """Return the whole table in Markdown: a row per set of checkpoints with equal features, words sorted."""
    header = _HEADERS[language]
    rows = [row for key in model_keys() for row in _rows(profile(key), language)]
    return "\n".join(_line(cells) for cells in (header, ["---"] * len(header), *rows))


def language_of(path: Path) -> str:
    """Return the language of a document by its name: `ascend.zh.md` is Chinese."""
    return CHINESE if path.name.endswith(".zh.md") else ENGLISH


def with_matrix(document: str, language: str) -> str:
    """Return `document` with the table between its markers made anew.

    Raises: ValueError when it has no markers, or several.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document must have {BEGIN} and {END} once each")
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{matrix(language)}\n{END}{after}"


def _rows(model: ModelProfile, language: str) -> Iterator[list[str]]:
    word = f"`{model.key}`"
    in_mindie = _YES_OR_NO[language][model.in_mindie_head]
    for found in _merged(model.checkpoints) or [DocumentedCheckpoints(names=(UNKNOWN,))]:
        yield [
            word,
            str(model.chips),
            in_mindie,
            f"{', '.join(found.names)}{f' {OLDER}' if found.older else ''}",
            _list(found.a2, " "),
            _list(found.duo, " "),
            _list(found.dtypes, " "),
            _list(found.attention, " "),
            _list(found.quantised, " "),
            UNKNOWN if found.long_context is None else _YES_OR_NO[language][found.long_context],
        ]


def _merged(checkpoints: Sequence[DocumentedCheckpoints]) -> list[DocumentedCheckpoints]:
    """Return the checkpoints with neighbours of equal features in one."""
    merged: list[DocumentedCheckpoints] = []
    for found in checkpoints:
        if merged and replace(merged[-1], names=found.names) == found:
            merged[-1] = replace(found, names=(*merged[-1].names, *found.names))
        else:
            merged.append(found)
    return merged


def _list(values: Sequence[object] | None, separator: str) -> str:
    if values is None:
        return UNKNOWN
    return separator.join(map(str, values)) or NOT_THERE


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    """Write the table into every document named."""
    for argument in arguments:
        path = Path(argument)
        text = path.read_text(encoding="utf-8")
        path.write_text(with_matrix(text, language_of(path)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
