"""When bytes had arrived: computed from a kernel's stamp, and seen on real sockets that are read late."""

import socket
import struct
import sys
import time

import pytest

from engines.endpoint.transport.arrivals import Arrivals, arrival_ns

OPTION = 35
NOW_NS, DATE_NS = 9_000_000_000, 1_700_000_000_000_000_000


def stamp(age_ns):
    seconds, ns = divmod(DATE_NS - age_ns, 1_000_000_000)
    return [(socket.SOL_SOCKET, OPTION, struct.pack("@qq", seconds, ns))]


def test_a_stamp_is_as_old_on_the_monotonic_clock():
    assert arrival_ns(stamp(2_500_000), NOW_NS, DATE_NS, None) == NOW_NS - 2_500_000


def test_nothing_arrives_in_the_future_or_before_what_came_earlier():
    assert arrival_ns(stamp(-7_000), NOW_NS, DATE_NS, None) == NOW_NS, "the clock was set back"
    assert arrival_ns(stamp(8_000_000_000), NOW_NS, DATE_NS, NOW_NS - 40) == NOW_NS - 40, "set forward"


def test_without_a_stamp_no_arrival_is_known():
    assert arrival_ns([], NOW_NS, DATE_NS, 5) is None
    assert arrival_ns([(socket.SOL_SOCKET, OPTION, b"short")], NOW_NS, DATE_NS, 5) is None


class Transport:
    def __init__(self, shown):
        self.shown = shown

    def get_extra_info(self, name):
        assert name == "socket"
        return self.shown


@pytest.mark.skipif(sys.platform != "linux", reason="stamps are Linux's")
@pytest.mark.parametrize("way", ["recv", "recv_into"])
def test_what_is_read_late_has_the_time_at_which_it_came(way):
    arrivals, buffer = Arrivals(), bytearray(8)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        family, kind, protocol, _, address = socket.getaddrinfo(*listening.getsockname())[0]
        with arrivals.socket((family, kind, protocol, "", address)) as client:
            assert arrivals.of(Transport(client)) is client
            client.connect(address)
            accepted, _ = listening.accept()
            with accepted:
                came = []
                for data in (b"one", b"two"):
                    before_ns = time.perf_counter_ns()
                    accepted.sendall(data)
                    after_ns = time.perf_counter_ns()
                    time.sleep(0.05)  # the reader was busy
                    read = client.recv(8) if way == "recv" else bytes(buffer[: client.recv_into(buffer, 8)])
                    assert read == data
                    came.append((before_ns, client.arrived_ns, after_ns))
    for before_ns, arrived_ns, after_ns in came[1:]:  # a kernel may begin to stamp behind the first bytes
        assert before_ns <= arrived_ns <= after_ns + 20_000_000, "a stamp of the read, 50 ms later"


def test_a_socket_of_somebody_else_has_no_arrivals():
    with socket.socket() as other:
        assert Arrivals().of(Transport(other)) is None
    assert Arrivals().of(Transport(None)) is None
