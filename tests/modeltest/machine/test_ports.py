"""The port at which ranks meet: the one that is given, or a free one of 20000 to 20050."""

import socket

import pytest

from modeltest.api import PrerequisiteError, SpecError
from modeltest.machine import ports
from modeltest.machine.ports import free_port, given_port, is_free, ports_to_try


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "1.5", "²", "9" * 5000])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(SpecError, match="not a port: give 1 to 65535, or unset it"):
        given_port({"MASTER_PORT": text})


def test_a_port_that_is_not_given_is_chosen():
    assert given_port({}) is None
    assert given_port({"MASTER_PORT": ""}) is None
    assert (ports_to_try({})[0], ports_to_try({})[-1]) == (20000, 20050)
    assert list(ports_to_try({"MASTER_PORT": "2345"})) == [2345]


def test_a_port_somebody_listens_at_is_not_chosen_and_refused_when_it_is_given(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(
            PrerequisiteError, match=rf"port {port} \(MASTER_PORT\) is taken by another process"
        ):
            free_port({"MASTER_PORT": str(port)})
        monkeypatch.setattr(ports, "FIRST_PORT", port)
        monkeypatch.setattr(ports, "LAST_PORT", port)
        with pytest.raises(PrerequisiteError, match=f"all ports from {port} to {port} are taken"):
            free_port({})
    assert free_port({}) == port
