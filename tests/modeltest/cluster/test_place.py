"""Where a machine stands among the nodes, and what its ranks are told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rank_tables import table, write

from modeltest.api import Cluster, PrerequisiteError, RunSpec, SpecError
from modeltest.cluster.place import (
    Place,
    check_address,
    checked_table,
    interface_of,
    local_size_of,
    node_of,
    node_variables,
    place_of,
)
from modeltest.cluster.rank_table import parse_rank_table
from modeltest.machine.interfaces import LOOPBACK_INTERFACE

SPEC = RunSpec(
    "hf_fp32", "full_BoolQ", "boolq", "m", "w", world_size=32, cluster=Cluster("t.json", 4, 24, "10.0.0.1")
)


def _table(*addresses, devices=2):
    return parse_rank_table(json.dumps(table(*addresses, devices=devices)), where="t.json")


def test_the_first_rank_says_which_node_this_is():
    assert (node_of(SPEC), local_size_of(SPEC)) == (3, 8)
    assert place_of(SPEC, {}) == Place(3, 4, 8, "10.0.0.1", 12345)
    assert not place_of(SPEC, {}).is_first
    assert place_of(replace(SPEC, cluster=replace(SPEC.cluster, rank_start=0)), {}).is_first


def test_a_run_on_one_machine_has_no_place_among_nodes():
    alone = replace(SPEC, cluster=None)
    assert (node_of(alone), local_size_of(alone), place_of(alone, {})) == (0, 32, None)
    assert checked_table(alone) is None
    assert node_variables(alone, None, {}) == {}


def test_all_nodes_meet_at_the_port_that_is_given():
    assert place_of(SPEC, {"MASTER_PORT": "20007"}).port == 20007
    with pytest.raises(SpecError, match="MASTER_PORT is 'http', not a port"):
        place_of(SPEC, {"MASTER_PORT": "http"})


def test_the_ranks_of_a_node_are_told_its_table_its_cards_and_its_network(tmp_path):
    path = write(tmp_path / "t.json", table("127.0.0.1", "127.0.0.2"))
    spec = replace(SPEC, world_size=4, cluster=Cluster(path, 2, 2, "127.0.0.1"))
    found = node_variables(spec, checked_table(spec), {})
    assert found == {
        "RANK_TABLE_FILE": path,
        "ASCEND_RT_VISIBLE_DEVICES": "0,1",
        "GLOO_SOCKET_IFNAME": LOOPBACK_INTERFACE,
        "NCCL_SOCKET_IFNAME": f"={LOOPBACK_INTERFACE}",
        "HCCL_SOCKET_IFNAME": f"={LOOPBACK_INTERFACE}",
    }
    assert Path(found["RANK_TABLE_FILE"]).is_absolute()


def test_cards_up_to_the_highest_of_the_table_are_visible():
    found = _table("10.0.0.1", devices=2)
    high = replace(
        found.servers[0],
        devices=tuple(replace(d, device_id=d.device_id + 4) for d in found.servers[0].devices),
    )
    spec = replace(SPEC, world_size=2, cluster=Cluster("t.json", 1, 0, "10.0.0.1"))
    assert (
        node_variables(spec, replace(found, servers=(high,)), {})["ASCEND_RT_VISIBLE_DEVICES"]
        == "0,1,2,3,4,5"
    )


def test_what_the_user_has_set_stays():
    spec = replace(SPEC, world_size=2, cluster=Cluster("t.json", 1, 0, "127.0.0.1"))
    networks = dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "HCCL_SOCKET_IFNAME"), "eth7")
    given = {**networks, "ASCEND_RT_VISIBLE_DEVICES": "2,3", "RANK_TABLE_FILE": "old.json"}
    assert node_variables(spec, _table("127.0.0.1"), given).keys() == {"RANK_TABLE_FILE"}


def test_a_machine_without_the_first_node_s_address_is_not_the_first_node():
    spec = replace(SPEC, world_size=4, cluster=Cluster("t.json", 2, 0, "192.0.2.1"))
    elsewhere = _table("192.0.2.1", "192.0.2.2")
    with pytest.raises(PrerequisiteError, match=r"first node, which is 192\.0\.2\.1 in the rank table"):
        check_address(spec, elsewhere)
    check_address(replace(spec, cluster=replace(spec.cluster, rank_start=2)), elsewhere)
    check_address(spec, _table("127.0.0.1", "127.0.0.2"))


def test_an_address_no_interface_has_has_none():
    assert interface_of("192.0.2.1") is None
