"""What every task of questions says of itself: its names, its modes, and the protocols it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modeltest.api import Mode, RunSpec, modes_of_word
from modeltest.tasks.protocols import PROTOCOLS, check_protocol


class DatasetTask:
    """The part that questions of all kinds share. A kind is a class below it, a task a class below that.

    A task whose `word` is `Colours` serves the modes `full_Colours` and `sample_Colours`, followed by BATCH
    and, where it `takes_shots`, by SHOTS before that.
    """

    name: str
    title: str
    dataset: str
    word: str
    """What follows `full_` and `sample_` in the modes."""

    modes: tuple[Mode, ...]
    takes_shots = True
    protocols: Mapping[str, str] = PROTOCOLS

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if hasattr(cls, "word") and "modes" not in vars(cls):
            cls.modes = modes_of_word(cls.word, task=cls.name, takes_shots=cls.takes_shots)

    def check(self, spec: RunSpec) -> None:
        """Refuse an unknown protocol or a negative number of shots.

        Raises: SpecError.
        """
        check_protocol(spec, self.protocols)
