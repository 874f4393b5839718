"""Wrong files and words at every surface: each ends as documented, with one message, in time."""

import pytest
from fuzz_places import made_places
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_fuzz import wrong_end
from surfaces import NAMES, one_input, surfaces

SHORT, LONG = 50, 20_000


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    made = made_places(tmp_path_factory.mktemp("fuzz"))
    return {surface.name: surface for surface in surfaces(*made)}


def test_every_surface_is_named(places):
    assert list(places) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_input_ends_as_documented(places, name):
    @settings(
        max_examples=SHORT,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def enter(seed):
        assert wrong_end(places[name], one_input(places[name], seed)) is None

    enter()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_so_do_many(places, name):
    for seed in range(LONG):
        assert wrong_end(places[name], one_input(places[name], seed)) is None, seed


@pytest.mark.parametrize(
    ("name", "seed"),
    [("safetensors_header", seed) for seed in (8, 10, 19, 135)]
    + [("journal", seed) for seed in (298, 769, 2485)],
)
def test_what_was_found_stays_mended(places, name, seed):
    assert wrong_end(places[name], one_input(places[name], seed)) is None
