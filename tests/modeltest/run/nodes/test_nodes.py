"""The roll call of nodes and what they hear of each other, through a real store in this process."""

import json
import os
import pickle
import signal
import socket
import threading
import time
from contextlib import closing

import pytest
from rank_tables import table

from modeltest.api import SpecError
from modeltest.cluster.place import Place
from modeltest.cluster.rank_table import parse_rank_table
from modeltest.machine.rank_messages import fresh_secret
from modeltest.run.nodes import nodes as nodes_module
from modeltest.run.nodes.nodes import (
    Card,
    Explanation,
    NodeEnd,
    Nodes,
    RollCallError,
    call_roll,
    differing_facts,
    open_store,
)
from modeltest.run.nodes.rank_store import SealedStore

ADDRESSES = ("127.0.0.1", "127.0.0.2")
PATIENCE_S = 30.0
TABLE = parse_rank_table(json.dumps(table(*ADDRESSES, devices=1)), where="table")


def _places() -> tuple[Place, Place]:
    with closing(socket.socket()) as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    return Place(0, 2, 1, "127.0.0.1", port), Place(1, 2, 1, "127.0.0.1", port)


class Roll:
    """The two nodes of a run, each with its own connection to the store."""

    def __init__(self) -> None:
        self.places = _places()
        self.secret = fresh_secret()
        self.stores = [self.open(number) for number in (0, 1)]

    def open(self, number: int, secret: str | None = None) -> SealedStore:
        return open_store(self.places[number], TABLE, secret or self.secret, patience_s=PATIENCE_S)

    def call(self, *cards: Card, patience_s: float = PATIENCE_S) -> list[Exception | None]:
        """Return what the roll call raises on the node of each card."""
        raised: list[Exception | None] = [None] * len(cards)

        def answer(number: int) -> None:
            card = cards[number]
            store, place = self.stores[card.node], self.places[card.node]
            try:
                call_roll(store, place, card, ADDRESSES, patience_s=patience_s)
            except Exception as problem:
                raised[number] = problem

        threads = [threading.Thread(target=answer, args=(number,)) for number in range(len(cards))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return raised

    def node(self, number: int, **settings) -> Nodes:
        return Nodes(self.places[number], ADDRESSES, self.stores[number], **settings)


@pytest.fixture
def roll():
    return Roll()


def _card(node: int, host: str = "", **facts) -> Card:
    return Card(node, host or f"host{node}", f"token{node}{host}", {"seed": 0, "limit": None, **facts})


def test_nodes_about_to_run_the_same_begin_together(roll):
    assert roll.call(_card(0), _card(1)) == [None, None]


def test_nodes_about_to_run_different_things_do_not_begin_and_say_what_differs(roll):
    first, second = roll.call(_card(0), _card(1, limit=4))
    said = "the nodes are about to run different things: node 1 (host1): limit is 4, on node 0 it is None"
    assert isinstance(first, SpecError)
    assert str(first) == str(second) == said


def test_a_fact_only_one_node_has_differs():
    assert differing_facts(_card(0), _card(1, extra=1)) == ["extra is 1, on node 0 it is None"]
    assert differing_facts(_card(0, extra=1), _card(1)) == ["extra is None, on node 0 it is 1"]


def test_a_node_that_does_not_come_is_named(roll):
    (said,) = roll.call(_card(0), patience_s=0.2)
    assert isinstance(said, RollCallError)
    assert str(said).startswith("node 1 (127.0.0.2) of 2 did not come to 127.0.0.1:")
    assert "within 0.2 s; start the same command there with its own RANK_START" in str(said)


def test_a_first_node_that_says_nothing_is_named(roll):
    (said,) = roll.call(_card(1), patience_s=0.2)
    assert "did not say within 0.2 s that all are there" in str(said)


def test_two_processes_that_are_the_same_node_are_told(roll):
    raised = []

    def answer() -> None:
        try:
            call_roll(roll.stores[1], roll.places[1], _card(1, "left"), ADDRESSES, patience_s=PATIENCE_S)
        except RollCallError as problem:
            raised.append(str(problem))

    thread = threading.Thread(target=answer)
    thread.start()
    while not roll.stores[0].has(["card/1"]):
        time.sleep(0.01)
    own = roll.open(1)
    other = threading.Thread(
        target=lambda: call_roll(own, roll.places[1], _card(1, "right"), ADDRESSES, patience_s=PATIENCE_S)
    )
    other.start()
    thread.join()
    assert raised == ["right says that it is node 1 too: give each node its own RANK_START"]
    assert roll.call(_card(0)) == [None]
    other.join()


def test_a_first_node_that_is_not_there_is_waited_for_and_then_named():
    _, second = _places()
    with pytest.raises(RollCallError, match=r"the first node does not answer at 127\.0\.0\.1:\d+ \("):
        open_store(second, TABLE, fresh_secret(), patience_s=0.2)


def test_a_port_that_is_taken_is_named():
    first, _ = _places()
    with closing(socket.socket()) as taken:
        taken.bind(("", first.port))
        taken.listen()
        with pytest.raises(RollCallError, match=rf"port {first.port} of 127\.0\.0\.1 cannot be listened at"):
            open_store(first, TABLE, fresh_secret(), patience_s=1)


@pytest.fixture
def ended(monkeypatch):
    """Hear of the signal that would end torchrun in this process."""
    heard = threading.Event()
    monkeypatch.setattr(os, "kill", lambda pid, number: number == signal.SIGTERM and heard.set())
    monkeypatch.setattr(nodes_module, "BEAT_S", 0.1)
    monkeypatch.setattr(nodes_module, "FAREWELL_S", 0.4)
    return heard


def test_a_node_that_falls_silent_ends_the_ranks_of_the_others(roll, ended):
    first = roll.node(0, silence_s=0.3)
    first.watch()
    assert ended.wait(PATIENCE_S)
    assert first.lost == Explanation("node 1 (127.0.0.2) is gone: no sign of life for 0.3 s", is_certain=True)
    first.leave()


def test_a_node_whose_rank_was_killed_is_the_reason(roll, ended):
    first, second = roll.node(0), roll.node(1)
    first.watch()
    second.watch()
    second.say_end(NodeEnd("its rank 1 was killed by SIGKILL", was_killed=True))
    said = Explanation("node 1 (127.0.0.2) ended: its rank 1 was killed by SIGKILL", is_certain=True)
    assert first.explain() == said
    assert ended.wait(PATIENCE_S)
    assert first.lost == said
    second.leave()
    first.leave()


def test_nodes_that_end_well_part_in_peace(roll, ended):
    first, second = roll.node(0), roll.node(1)
    first.watch()
    second.watch()
    for node in (first, second):
        node.say_end(NodeEnd(None))
    assert first.explain() is None
    second.leave()
    first.leave()
    assert not ended.is_set()
    assert (first.lost, second.lost) == (None, None)


def test_ranks_that_go_on_when_rank_0_is_done_are_ended_in_peace(roll, ended, monkeypatch):
    monkeypatch.setattr(nodes_module, "GRACE_S", 0.2)
    first, second = roll.node(0), roll.node(1)
    first.watch()
    second.watch()
    first.say_end(NodeEnd(None))
    assert ended.wait(PATIENCE_S)
    assert second.is_over
    assert second.lost is None
    second.leave()
    first.leave()


def test_c1_only_the_first_node_s_address_is_listened_at(roll):
    port = roll.places[0].port
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_c1_a_node_with_another_secret_is_refused_by_both(roll):
    roll.stores[1] = roll.open(1, fresh_secret())
    first, second = roll.call(_card(0), _card(1))
    assert isinstance(first, RollCallError)
    assert str(first).startswith("what came as node 1 (127.0.0.2) does not know the secret of this run: set ")
    assert isinstance(second, RollCallError)
    assert "does not know the secret of this run: set MODELTEST_RANK_SECRET to the same" in str(second)


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_c1_a_pickle_planted_as_a_card_is_refused_unread(roll, tmp_path):
    roll.stores[0].store.set("card/1", pickle.dumps(Attack(tmp_path / "ran")))
    (said,) = roll.call(_card(0))
    assert str(said).startswith("what came as node 1 (127.0.0.2) does not know the secret")
    assert not (tmp_path / "ran").exists()


def test_c1_what_was_said_in_another_run_is_no_sign_of_life(roll, ended):
    first, second = roll.node(0), roll.node(1)
    later = Nodes(roll.places[0], ADDRESSES, first.store.for_the_run(["token0", "token1"]))
    second.say_end(NodeEnd(None))
    later.watch()
    assert ended.wait(PATIENCE_S)
    assert later.lost.is_certain
    assert later.lost.text.startswith("what came as 'end/1' is not from a rank of this run")
    later.leave()
