"""Every file and word that a user or a stranger can hand over, and the function that takes it in."""

from checkpoint_surfaces import checkpoint_surfaces
from dataset_surfaces import dataset_surfaces
from fuzz_places import Places
from pack_surfaces import pack_surfaces
from run_surfaces import run_surfaces
from surface import Surface
from word_surfaces import word_surfaces


def surfaces(places: Places) -> dict[str, Surface]:
    """Return all surfaces by their names."""
    found = [
        *word_surfaces(places),
        *dataset_surfaces(places),
        *run_surfaces(places),
        *pack_surfaces(places),
        *checkpoint_surfaces(places),
    ]
    return {surface.name: surface for surface in found}
