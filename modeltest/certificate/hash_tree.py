"""A hash tree over leaves, as RFC 6962 defines it for Certificate Transparency. Pure.

A leaf and a node begin with different bytes before they are hashed, so no node can be passed off as a leaf:
without that, a list of digests would have the root of the list it was computed from.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

_LEAF, _NODE = b"\0", b"\1"


def leaf_digest(data: bytes) -> bytes:
    """Return the digest of one leaf."""
    return sha256(_LEAF + data).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over the digests of leaves, in their order.

    A tree splits at the largest power of two below its number of leaves, so complete trees of equal height
    are joined as soon as there are two, and what is left over at the end from the right.
    """
    trees: list[tuple[int, bytes]] = []
    for digest in leaves:
        height, right = 0, digest
        while trees and trees[-1][0] == height:
            right = _node(trees.pop()[1], right)
            height += 1
        trees.append((height, right))
    if not trees:
        return sha256().digest()
    _, root = trees.pop()
    while trees:
        root = _node(trees.pop()[1], root)
    return root


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()
