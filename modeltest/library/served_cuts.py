"""Cut checkpoints that somebody else serves: which is to be served next, and whether it is the one asked.

Only who started a server can give it another checkpoint. So a step of a bisection ends with the words that
say which; the same command, given again, asks what is served then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from modeltest.api import PrerequisiteError, RunSpec, SpecError
from modeltest.locate.bisection import served_instead
from modeltest.machine.files import write_json

FILE = "served.json"


def is_served(spec: RunSpec) -> bool:
    """Return whether somebody else serves the candidate."""
    return "://" in spec.weights


def refuse_unstated_dtype(spec: RunSpec) -> None:
    """Refuse a served model whose dtype nobody says: the twin is computed in it.

    Raises: SpecError.
    """
    if is_served(spec) and spec.dtype is None:
        raise SpecError(
            f"nothing tells in which dtype {spec.weights} computes, and rounding is held against that of its "
            "dtype: give --dtype"
        )


class ServedCuts:
    """What the server of one bisection was to be given."""

    def __init__(self, folder: Path, url: str) -> None:
        """Read what was asked for before."""
        self._file = folder / FILE
        self._url = url
        self._given: list[int] = json.loads(self._file.read_text()) if self._file.exists() else []

    def require(self, cut: int, weights: Path) -> None:
        """Ask for the checkpoint `weights` of the first `cut` layers, the first time that it is needed.

        Raises: PrerequisiteError that says what to serve; not when the command is given again.
        """
        if cut in self._given:
            return
        self._given.append(cut)
        write_json(self._file, self._given)
        raise PrerequisiteError(
            f"have the server at {self._url} serve {weights} next, the first {cut} layers, and give the same "
            "command again"
        )

    def refuse_other(
        self, cut: int, behind: Sequence[Sequence[float]], told: Sequence[float], run: Path
    ) -> None:
        """Refuse what was told by other layers than the first `cut`, and forget it: `run` is removed.

        Raises: PrerequisiteError.
        """
        other = served_instead(cut, behind, told)
        if other is None:
            return
        shutil.rmtree(run)
        raise PrerequisiteError(
            f"the server at {self._url} has the first {other} layers of the model, not the first {cut}: have "
            "it serve what the command named before, and give it again"
        )
