"""Valid files made wrong: as bytes, and as JSON whose keys, kinds, sizes and depths are changed."""

import copy
import json
from random import Random
from typing import Any

ODD_VALUES = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, -(10**400), 1.5, 1e308, float("nan"), float("inf"),
    "", "x", "\ud800", "\x00", "\ufeff", "a" * 5000, "../../etc/passwd", "-1", "nan",
    [], {}, [[]], [{}], {"": None},
)  # fmt: skip
ODD_BYTES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b'"', b"\n", b"\r", b",", b":", b"NaN",
    b"1e999",
    b"\\ud800", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"\xed\xa0\x80", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def mutated(data: bytes, dice: Random, *, is_json: bool) -> bytes:
    """Return `data` with one to four changes."""
    if is_json and dice.random() < 0.7:
        return _mutated_json(data, dice)
    for _ in range(dice.randint(1, 4)):
        data = _mutated_bytes(data, dice)
    return data


def _mutated_json(data: bytes, dice: Random) -> bytes:
    text = data.decode("utf-8-sig")
    lines = text.splitlines() if text.count("\n{") else [text]
    chosen = dice.randrange(len(lines))
    value = json.loads(lines[chosen])
    for _ in range(dice.randint(1, 4)):
        value = changed(value, dice)
    written = json.dumps(value, ensure_ascii=dice.random() < 0.7)
    lines[chosen] = written
    if dice.random() < 0.1:
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    return ("\n".join(lines) + "\n" * text.endswith("\n")).encode(errors="surrogatepass")


def changed(value: Any, dice: Random) -> Any:
    """Return `value` with something in it dropped, doubled, replaced, moved deeper or renamed."""
    value = copy.deepcopy(value)
    holder, key = None, None
    inner = value
    while isinstance(inner, dict | list) and inner and (holder is None or dice.random() < 0.75):
        holder = inner
        key = dice.choice(list(inner)) if isinstance(inner, dict) else dice.randrange(len(inner))
        inner = inner[key]
    if holder is None:
        return dice.choice(ODD_VALUES)
    act = dice.randrange(6)
    if act == 0:
        del holder[key]
    elif act == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(inner))
    elif act == 1:
        holder[dice.choice(("", "x", "\ud800", f"{key} "))] = inner
    elif act == 2:
        for _ in range(dice.choice((1, 3, 200))):
            inner = [inner] if dice.random() < 0.5 else {"a": inner}
        holder[key] = inner
    elif act == 3 and isinstance(inner, int | float) and abs(inner) < 1e300:
        holder[key] = dice.choice((-inner, inner * 1000003, inner + 1, inner / 7, str(inner)))
    else:
        holder[key] = dice.choice(ODD_VALUES)
    return value


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
