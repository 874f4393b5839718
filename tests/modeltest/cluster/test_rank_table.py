"""Rank tables: a good one is read, and of a bad one everything wrong is named at its place."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rank_tables import table, write

from modeltest.api import Cluster, SpecError
from modeltest.cluster.rank_table import check_table, parse_rank_table, read_rank_table

TWO = ("10.0.0.1", "10.0.0.2")
WORDS = Cluster("t.json", nodes=2, rank_start=0, master_address="10.0.0.1")


def _refusal(found, **changes):
    text = found if isinstance(found, str) else json.dumps({**found, **changes})
    with pytest.raises(SpecError) as raised:
        parse_rank_table(text, where="t.json")
    return str(raised.value).removeprefix("the rank table 't.json' ")


def test_the_nodes_and_their_cards_are_read_in_order(tmp_path):
    found = read_rank_table(write(tmp_path / "t.json", table(*TWO, devices=3)))
    assert [server.address for server in found.servers] == [*TWO]
    assert [device.rank for device in found.servers[1].devices] == [3, 4, 5]
    assert [device.device_id for device in found.servers[1].devices] == [0, 1, 2]
    assert found.world_size == 6


def test_what_is_no_rank_table_is_refused_before_it_is_looked_into(tmp_path):
    with pytest.raises(SpecError, match=r"'nowhere.json' does not exist; give the JSON file of this cluster"):
        read_rank_table("nowhere.json")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_rank_table(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="is not text"):
        read_rank_table(str(tmp_path / "binary"))
    assert _refusal("{").startswith("is not JSON: ")
    assert _refusal("[" * 100_000).startswith("is not JSON: ")
    assert _refusal("[1]") == "is JSON, but not an object with a server_list"
    assert "server_list is no list of servers" in _refusal("{}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "1.1"}, "version is '1.1'; '1.0' is expected"),
        ({"version": 1.0}, "version is 1.0; '1.0' in quotes is expected"),
        ({"status": "initializing"}, "status is 'initializing'; 'completed' is expected"),
        ({"server_count": "3"}, "server_count is 3, server_list has 2 servers"),
        ({"server_count": 2}, "server_count is 2; a number in quotes is expected"),
        ({"server_count": "two"}, "server_count is 'two', not a number"),
        ({"server_count": "9" * 5000}, "server_count is '99999"),
        ({"server_list": []}, "server_list is no list of servers"),
        (
            {"server_list": ["10.0.0.1", "10.0.0.2"]},
            "server_list[0] is no object; server_list[1] is no object",
        ),
    ],
)
def test_a_wrong_field_of_the_table_is_named(changes, said):
    assert said in _refusal(table(*TWO), **changes)


@pytest.mark.parametrize("key", ["version", "status", "server_count", "server_list"])
def test_a_missing_field_is_named(key):
    found = table(*TWO)
    del found[key]
    assert key in _refusal(found)


@pytest.mark.parametrize(
    ("server", "device", "key", "value", "said"),
    [
        (1, None, "server_id", "node-b", "server_list[1].server_id is 'node-b', not an IP address"),
        (1, None, "server_id", None, "server_list[1].server_id is missing"),
        (1, None, "server_id", "10.0.0.1", "server_id 10.0.0.1 is there more than once"),
        (0, None, "container_ip", "x", "server_list[0].container_ip is 'x', not an IP address"),
        (0, None, "container_ip", [], "server_list[0].container_ip is [], not an IP address"),
        (0, None, "device", [], "server_list[0].device is no list of devices"),
        (0, None, "device", [5, 6], "server_list[0].device[0] is no object"),
        (0, 1, "device_ip", "1.2.3", "server_list[0].device[1].device_ip is '1.2.3', not an IP address"),
        (0, 1, "device_ip", None, "server_list[0].device[1].device_ip is missing"),
        (1, 0, "device_ip", "29.0.0.1", "device_ip 29.0.0.1 is there more than once"),
        (0, 1, "device_id", "0", "server_list[0] has device_id 0 more than once"),
        (0, 1, "device_id", 1, "server_list[0].device[1].device_id is 1; a number in quotes is expected"),
        (0, 1, "rank_id", "-1", "server_list[0].device[1].rank_id is '-1', not a number"),
        (0, 1, "rank_id", "²", "server_list[0].device[1].rank_id is '²', not a number"),
        (0, 0, "rank_id", "00", "server_list[0].device[0].rank_id is '00', not a number"),
        (0, 1, "rank_id", "0", "rank_id 0 is there more than once"),
        (1, 1, "rank_id", "4", "the rank_ids of 4 devices are 0 to 3: 3 is missing, 4 is there"),
    ],
)
def test_a_wrong_server_or_device_is_named_with_its_place(server, device, key, value, said):
    found = table(*TWO)
    entry = found["server_list"][server]
    entry = entry if device is None else entry["device"][device]
    entry[key] = value
    assert said in _refusal(found)


def test_ranks_go_up_server_by_server():
    found = table(*TWO)
    found["server_list"].reverse()
    assert _refusal(found) == (
        "cannot be used: rank_ids go up server by server and device by device: "
        "rank 2 stands where 0 is expected"
    )


def test_five_problems_are_named_and_the_others_counted():
    found = table(*TWO, devices=4)
    for device in found["server_list"][0]["device"]:
        device["device_ip"] = device["rank_id"] = "x"
    assert _refusal(found, version="2").endswith("; and 4 more")


@pytest.mark.parametrize(
    ("world_size", "changes", "said"),
    [
        (4, {"nodes": 4}, "it has 2 servers, the words ask for 4 nodes"),
        (8, {}, "its servers have 4 devices together, the words ask for 8"),
        (4, {"master_address": "10.0.0.2"}, "which is server_list[1]; rank 0 is on 10.0.0.1"),
        (4, {"master_address": "10.0.0.9"}, "is none of its servers (10.0.0.1, 10.0.0.2)"),
        (4, {"master_address": "node-a"}, "name 'node-a' as the first node; give its address, 10.0.0.1"),
    ],
)
def test_a_table_of_other_nodes_than_the_words_name_is_refused(world_size, changes, said):
    found = parse_rank_table(json.dumps(table(*TWO)), where="t.json")
    check_table(found, WORDS, world_size=4)
    words = Cluster(**{**{name: getattr(WORDS, name) for name in WORDS.__slots__}, **changes})
    with pytest.raises(SpecError) as raised:
        check_table(found, words, world_size=world_size)
    assert said in str(raised.value)


def test_nodes_with_unequal_numbers_of_cards_are_refused():
    found = table(*TWO, devices=2)
    moved = found["server_list"][1]["device"].pop(0)
    moved["device_id"] = "2"
    found["server_list"][0]["device"].append(moved)
    with pytest.raises(
        SpecError, match=r"server_list\[0\] \(10.0.0.1\) has 3 devices; 4 on 2 nodes are 2 each"
    ):
        check_table(parse_rank_table(json.dumps(found), where="t.json"), WORDS, world_size=4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    path=st.lists(
        st.sampled_from(["server_list", 0, 1, "device", "server_id", "rank_id", "status"]), max_size=5
    ),
    value=JSON,
)
def test_whatever_stands_in_a_field_is_read_or_refused(path, value):
    found = table(*TWO)
    entry = found
    for key in path[:-1]:
        try:
            entry = entry[key]
        except (KeyError, IndexError, TypeError):
            return
    if not path or not isinstance(entry, dict):
        return
    entry[path[-1]] = value
    with suppress(SpecError):
        assert parse_rank_table(json.dumps(found), where="t.json").world_size == 4
