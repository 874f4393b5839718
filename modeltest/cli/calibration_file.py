"""The file that `modeltest calibrate` writes and `modeltest compare --calibration` reads."""

from __future__ import annotations

from pathlib import Path

from modeltest.api import SpecError, from_plain, to_plain
from modeltest.api.comparison import Calibration
from modeltest.api.files import write_json
from modeltest.api.json_text import parse_json

FORMAT_VERSION = 1


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write `calibration` to `path`.

    Raises: PrerequisiteError when it cannot be written.
    """
    write_json(path, {"format_version": FORMAT_VERSION, **to_plain(calibration)})


def read_calibration(path: Path) -> Calibration:
    """Return the calibration in `path`.

    Raises: SpecError when there is none, or one of another format.
    """
    try:
        plain = parse_json(path.read_bytes())
        version = plain.pop("format_version", None) if isinstance(plain, dict) else None
        if version != FORMAT_VERSION:
            raise SpecError(f"{path} has format {version}; this ModelTest reads format {FORMAT_VERSION}")
        return from_plain(Calibration, plain)
    except (OSError, ValueError) as problem:
        raise SpecError(
            f"{path} is not a calibration: {problem}; modeltest calibrate writes one"
        ) from problem
