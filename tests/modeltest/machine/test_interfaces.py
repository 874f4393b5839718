"""Ranks listen at one interface, unless the user has said at which."""

from modeltest.machine.interfaces import at_interface

ALL = {"GLOO_SOCKET_IFNAME": "eth0", "NCCL_SOCKET_IFNAME": "=eth0", "HCCL_SOCKET_IFNAME": "=eth0"}


def test_each_library_is_told_in_its_own_words():
    assert at_interface("eth0", {}) == ALL
    assert at_interface("eth0", {"GLOO_SOCKET_IFNAME": ""}) == ALL


def test_what_the_user_has_set_stays():
    for name in ALL:
        assert at_interface("eth0", {name: "mine"}) == {n: value for n, value in ALL.items() if n != name}


def test_an_address_given_to_hccl_is_its_interface():
    told = at_interface("eth0", {"HCCL_IF_IP": "192.0.2.1"})
    assert told == {name: value for name, value in ALL.items() if name != "HCCL_SOCKET_IFNAME"}
