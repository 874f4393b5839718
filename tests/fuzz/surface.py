"""What a surface is: what is handed over, valid, and the function that takes it in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mutations import mutated

Enter = Callable[[bytes], object]


@dataclass(frozen=True)
class Surface:
    """Files or words that a user or a stranger can hand over, and what takes them in.

    It is entered as the command would: what comes out is success or a `ModelTestError`.
    """

    name: str
    seeds: Sequence[bytes]
    enter: Enter
    is_json: bool = True


def of_file(
    root: Path, name: str, seed: bytes, read: Callable[[Path], object], *, is_json: bool = True
) -> Surface:
    """Return the surface of one file that `read` opens by its path."""
    path = root / f"{name}.json"

    def enter(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return Surface(name, [seed], enter, is_json)


def one_input(surface: Surface, seed: int) -> bytes:
    """Return the input of a surface that belongs to `seed`."""
    dice = Random(f"{surface.name}/{seed}")
    return mutated(dice.choice(surface.seeds), dice, is_json=surface.is_json)
