"""The hash tree against the vectors of Certificate Transparency, and a definition written down once more."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.certificate.hash_tree import leaf_digest, root_of

LEAVES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", bytes(range(96, 112)).hex())
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def by_definition(leaves):
    """Return the root as RFC 6962, section 2.1, defines it."""
    if len(leaves) < 2:
        return sha256(b"\0" + leaves[0]).digest() if leaves else sha256().digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return sha256(b"\1" + by_definition(leaves[:split]) + by_definition(leaves[split:])).digest()


@pytest.mark.parametrize(("count", "root"), ROOTS.items())
def test_roots_are_those_of_certificate_transparency(count, root):
    assert root_of(map(leaf_digest, LEAVES[:count])).hex() == root


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_the_root_is_that_of_the_definition(leaves):
    assert root_of(map(leaf_digest, leaves)) == by_definition(leaves)


def test_a_node_cannot_be_passed_off_as_a_leaf():
    one, other = map(leaf_digest, (b"a", b"b"))
    assert root_of([leaf_digest(one + other)]) != root_of([one, other])


@given(st.lists(st.binary(max_size=4), min_size=2, max_size=20, unique=True), st.data())
def test_a_changed_moved_or_lost_leaf_changes_the_root(leaves, data):
    at = data.draw(st.integers(0, len(leaves) - 1))
    root = root_of(map(leaf_digest, leaves))
    lost = leaves[:at] + leaves[at + 1 :]
    changed = [*leaves[:at], leaves[at] + b"!", *leaves[at + 1 :]]
    moved = [*leaves[1:], leaves[0]]
    for others in (lost, changed, moved):
        assert root_of(map(leaf_digest, others)) != root
