"""The file that `modeltest calibrate` writes and `modeltest compare --calibration` reads."""

from __future__ import annotations

from pathlib import Path

from modeltest.api import Calibration, SpecError
from modeltest.compare.calibration import LEAST_TOLERANCE
from modeltest.compare.tolerances import FLOORS
from modeltest.grammar.bounds import LARGEST_COUNT
from modeltest.machine.files import write_json
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.plain.json_text import parse_json

FORMAT_VERSION = 1

_LARGEST_RATIO = 1e6
"""Of the slowest session to the fastest: beyond it nothing was measured."""

_ROUNDING = 1e-9


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write `calibration` to `path`.

    Raises: PrerequisiteError when it cannot be written.
    """
    write_json(path, {"format_version": FORMAT_VERSION, **to_plain(calibration)})


def _check(calibration: Calibration) -> None:
    """Refuse numbers that no calibration comes to: a tolerance of -1 fails every candidate, 1e9 none.

    Raises: ValueError naming the number.
    """
    _within("risk", calibration.risk, 0, 1)
    _within("sessions", calibration.sessions, 1, LARGEST_COUNT)
    _within("world_size", calibration.world_size, 0, LARGEST_COUNT)
    for number, each in enumerate(calibration.tolerances):
        where = f"tolerances[{number}]"
        if each.metric not in FLOORS:
            raise ValueError(f"{where}: metric is {each.metric!r}; known: {', '.join(FLOORS)}")
        _within(f"{where}: batch_size", each.batch_size, 1, LARGEST_COUNT)
        _within(f"{where}: input_tokens", each.case.input_tokens, 1, LARGEST_COUNT)
        _within(f"{where}: output_tokens", each.case.output_tokens, 1, LARGEST_COUNT)
        _within(f"{where}: sessions", each.sessions, 1, LARGEST_COUNT)
        _within(f"{where}: session_cv", each.session_cv, 0, _LARGEST_RATIO)
        _within(f"{where}: largest_ratio", each.largest_ratio, 1, _LARGEST_RATIO)
        # What was seen is tolerated, and nobody's machine repeats itself more closely than this.
        least = max(LEAST_TOLERANCE, each.largest_ratio - 1)
        _within(f"{where}: tolerance", each.tolerance, least * (1 - _ROUNDING), _LARGEST_RATIO)


def _within(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value:.6g}; it lies between {lowest:.6g} and {highest:.6g}")


def read_calibration(path: Path) -> Calibration:
    """Return the calibration in `path`.

    Raises: SpecError when there is none, or one of another format.
    """
    try:
        plain = parse_json(path.read_bytes())
        version = plain.pop("format_version", None) if isinstance(plain, dict) else None
        if version != FORMAT_VERSION:
            raise SpecError(f"{path} has format {version}; this ModelTest reads format {FORMAT_VERSION}")
        calibration = from_plain(Calibration, plain)
        _check(calibration)
        return calibration
    except (OSError, ValueError) as problem:
        raise SpecError(
            f"{path} is not a calibration: {problem}; modeltest calibrate writes one"
        ) from problem
