"""Valid files made wrong: as bytes, as text whose words and lines are changed, and as JSON whose keys, kinds,
sizes and depths are."""

import copy
import json
import re
from random import Random
from typing import Any

_RAW = "raw JSON: "
"""Begins a text that is written without quotes: what json itself would not write."""

SPELLINGS = (
    "1e999", "-1e999", "-0", "-0.0", "1E+2", "01", "1.", ".5", "+1", "0x10", "1_000", "NaN", "-Infinity",
    "nul", "True", "9" * 5000, "1" + "0" * 400 + ".0", "1e-400", "[" * 500 + "]" * 500,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 3000 + "1" + "}" * 3000, '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"',
    '"' + "x" * 300_000 + '"',
    "'x'", "// x", "[1,]", '{"a":1,}',
)  # fmt: skip
ODD_VALUES = (
    None, True, False, -1, 0, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400), 1.5, -1.0, 1e308,
    float("nan"), float("inf"), "", "x", "\ud800", "\x00", "\ufeff", "\u202e", "a" * 5000, "../../etc/passwd",
    "-1", "1", "nan", "1e999", "١", "a\nb", "\x1b[31m", [], {}, [[]], [{}], {"": None}, [0] * 2000,
    *(_RAW + spelling for spelling in SPELLINGS),
)  # fmt: skip
ODD_BYTES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b'"', b"\n", b"\r", b"\r\n", b",", b":",
    b"NaN", b"1e999", b"'", b"#", b"\t", b"\x1a", b"\xe2\x80\xa8", b"\xc0\x80",
    b"\\ud800", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"\xed\xa0\x80", b"\xf0\x9f\x98\x80",
)  # fmt: skip
ODD_WORDS = (
    "", "0", "-1", "-0", "1e999", "nan", "inf", "true", "null", "1.5", "١", "0x10", "1_000", "9" * 400,
    "x" * 2000, "\ud800", "\x00", "\ufeff", "..", "../..", "/", "~", "*", "{}", "[]", "[[1,2]", "[-1,0]",
    "[[1,2],[3]]",
    "&a [*a]", "!!python/object:os.system", "%s", "{0.__class__}", "$HOME", "'", '"', "\n", " ", "=",
    "a=b", "--", "-x",
)  # fmt: skip


class _Doubled(dict):
    """An object of which one key is written twice, with two values."""

    def items(self):
        pairs = list(super().items())
        return [*pairs, *((key, self.other) for key, _ in pairs[:1])]


def mutated(data: bytes, dice: Random, *, is_json: bool) -> bytes:
    """Return `data` with one to four changes."""
    if is_json and dice.random() < 0.7:
        data = _mutated_json(data, dice)
    else:
        change = _mutated_text if dice.random() < 0.5 else _mutated_bytes
        for _ in range(dice.randint(1, 4)):
            data = change(data, dice)
    return _written_otherwise(data, dice) if dice.random() < 0.05 else data


def _written_otherwise(data: bytes, dice: Random) -> bytes:
    """Return the same text as another editor would save it."""
    text = data.decode(errors="replace")
    return dice.choice(
        (
            b"\xef\xbb\xbf" + data,
            data.replace(b"\n", b"\r\n"),
            data.replace(b"\n", b"\r"),
            text.encode("utf-16"),
            text.encode("utf-8-sig") * 2,
            data + b"\x00" * 100,
            data * 2,
            b"",
        )
    )


def _mutated_json(data: bytes, dice: Random) -> bytes:
    text = data.decode("utf-8-sig")
    lines = text.splitlines() if text.count("\n{") else [text]
    chosen = dice.randrange(len(lines))
    value = json.loads(lines[chosen])
    for _ in range(dice.randint(1, 4)):
        value = changed(value, dice)
    lines[chosen] = _written(value, ensure_ascii=dice.random() < 0.7)
    if dice.random() < 0.1:
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    if dice.random() < 0.1:
        del lines[dice.randrange(len(lines))]
    return ("\n".join(lines) + "\n" * text.endswith("\n")).encode(errors="surrogatepass")


def _written(value: Any, *, ensure_ascii: bool) -> str:
    text = json.dumps(value, ensure_ascii=ensure_ascii)
    if _RAW in text:
        text = re.sub(f'"{_RAW}((?:[^"\\\\]|\\\\.)*)"', lambda found: json.loads(f'"{found[1]}"'), text)
    return text


def changed(value: Any, dice: Random) -> Any:  # noqa: C901  (a list of changes)
    """Change `value` and return it: something in it is dropped, doubled, replaced, moved or renamed."""
    holder, key = None, None
    inner = value
    while isinstance(inner, dict | list) and inner and (holder is None or dice.random() < 0.75):
        holder = inner
        key = dice.choice(list(inner)) if isinstance(inner, dict) else dice.randrange(len(inner))
        inner = inner[key]
    if holder is None:
        return copy.deepcopy(dice.choice(ODD_VALUES))
    act = dice.randrange(8)
    if act == 0:
        del holder[key]
    elif act == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(inner))
    elif act == 1:
        holder[dice.choice(("", "x", "\ud800", f"{key} "))] = copy.deepcopy(inner)
    elif act == 2:
        for _ in range(dice.choice((1, 3, 200))):
            inner = [inner] if dice.random() < 0.5 else {"a": inner}
        holder[key] = inner
    elif act in (3, 4) and isinstance(inner, int | float) and abs(inner) < 1e300:
        holder[key] = dice.choice(
            (
                -inner,
                inner * 1000003,
                inner + 1,
                inner - 1,
                inner / 7,
                str(inner),
                float(inner),
                bool(inner),
                [inner],
            )
        )
    elif act == 5 and isinstance(inner, dict) and inner:
        doubled = _Doubled(inner)
        doubled.other = copy.deepcopy(dice.choice((*inner.values(), *ODD_VALUES)))
        holder[key] = doubled
    elif act == 6 and isinstance(holder, dict) and len(holder) > 1:
        other = dice.choice(list(holder))
        holder[key], holder[other] = holder[other], holder[key]
    else:
        holder[key] = copy.deepcopy(dice.choice(ODD_VALUES))
    return value


def _mutated_text(data: bytes, dice: Random) -> bytes:
    """Return `data` with a word replaced, or a line doubled, dropped, moved or indented otherwise."""
    text = data.decode(errors="surrogateescape")
    if dice.random() < 0.6:
        words = list(re.finditer(r"[\w.+-]+", text))
        if not words:
            return data
        first, last = dice.choice(words).span()
        word = dice.choice((dice.choice(ODD_WORDS), dice.choice(words)[0], text[first:last] * 2))
        text = text[:first] + word + text[last:]
    else:
        lines = text.split("\n")
        chosen = dice.randrange(len(lines))
        act = dice.randrange(4)
        if act == 0:
            del lines[chosen]
        elif act == 1:
            lines.insert(dice.randrange(len(lines) + 1), lines[chosen])
        elif act == 2:
            lines[chosen] = dice.choice(("  ", "\t", "- ", "#", "[")) + lines[chosen]
        else:
            other = dice.randrange(len(lines))
            lines[chosen], lines[other] = lines[other], lines[chosen]
        text = "\n".join(lines)
    return text.encode(errors="surrogatepass") if "\ud800" in text else text.encode(errors="surrogateescape")


def _mutated_bytes(data: bytes, dice: Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    act = dice.randrange(6)
    if act == 0:
        return data[:at]
    if act == 1:
        return data[:at] + dice.choice(ODD_BYTES) + data[at:]
    if act == 2 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]
    end = min(len(data), at + dice.randrange(1, 40))
    if act == 3:
        return data[:at] + data[end:]
    if act == 4:
        return data[:end] + data[at:end] + data[end:]
    return data[:at] + bytes(dice.randrange(256) for _ in range(end - at)) + data[end:]
