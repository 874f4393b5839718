"""The rows of a trial."""

from hypothesis import given
from hypothesis import strategies as st

from engines.common.probe_text import probe_ids
from engines.hf.beliefs.probe_tree import REPLAYED_STEPS, SMALLEST_LIMIT, probe_tree


@given(
    st.lists(st.integers(0, 50), min_size=20, max_size=90).filter(lambda ids: len(set(ids)) >= 16),
    st.integers(SMALLEST_LIMIT, 300),
)
def test_rows_lie_on_both_sides_of_the_limit_and_begin_alike(ids, limit):
    tree = probe_tree(ids, limit)
    first, second, third = tree.rows
    assert first[:4] == second[:4] == third[:4]
    assert len({first[4], second[4], third[4]}) > 1
    assert first[4] not in (second[4], third[4])
    assert len(first) == len(second) == limit + 10
    assert min(len(tree.prefixes[1]), len(tree.ends[1])) > limit
    assert len(third) == 22


def test_the_rows_of_the_trial_at_load_are_equally_long():
    assert {len(row) for row in probe_tree(range(100)).rows} == {22}


def test_what_is_fed_one_by_one_crosses_the_limit():
    tree = probe_tree(range(100), 40)
    crossing = tree.replayed[1]
    assert len(crossing) - REPLAYED_STEPS <= 40 < len(crossing)
    for row, whole, start in zip(tree.replayed, tree.rows, tree.starts, strict=True):
        assert whole[: len(row)] == row
        assert len(row) - REPLAYED_STEPS > start


def test_the_packs_of_a_tree_are_its_rows():
    tree = probe_tree(range(100), 40)
    rows, packs = tree.packs(tree.rows)
    nodes = {segment.node: segment for pack in packs for segment in pack.segments}
    for segment in nodes.values():
        if segment.row is None:
            continue
        ids, node = (), segment
        while node is not None:
            ids = (*node.ids, *ids)
            node = nodes.get(node.parent)
        assert ids == rows[segment.row].ids == tree.rows[segment.row]
        assert rows[segment.row].read_from == segment.start == tree.starts[segment.row]


def test_text_that_the_tokenizer_does_not_know_is_replaced_by_ids_of_its_vocabulary():
    assert max(probe_ids(lambda _: {"input_ids": [1] * 50}, 30)) < 30
    assert len(set(probe_ids(lambda _: {"input_ids": [1] * 50}, 30))) == 30
