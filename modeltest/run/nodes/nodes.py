"""The nodes of a run: a roll call before anything is loaded, then heartbeats; where one is lost, all end.

Each node's launcher takes part, through the store that torchrun keeps on the first node anyway. At the roll
call every node says who it is and what it is about to run; the first compares, and all begin or none does.
Afterwards each node gives a sign of life every `BEAT_S` and says how it ended. A node that lost another, or
hears that its part failed, ends its own ranks and says why: they would wait for each other for days.

What is told is sealed (`rank_store.py`): at the roll call with the secret that the user gave to every node,
then with one made of that and of what each node has drawn for this run.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from modeltest.api import ModelTestError, PrerequisiteError, RankMessageRefused, SpecError
from modeltest.cluster.place import Place, listening_address
from modeltest.cluster.rank_table import RankTable
from modeltest.machine.ports import PORT_VARIABLE
from modeltest.machine.rank_messages import SECRET_VARIABLE, Seal
from modeltest.run.nodes.rank_store import SealedStore, of_nodes, reach, serve

BEAT_S = 2.0
SILENCE_S = 60.0
"""A node that gave no sign of life for so long is lost."""

FAREWELL_S = 10.0
"""How long a node waits for the others to say how their part ended."""

GRACE_S = 30.0
"""How long the ranks of a node may go on after rank 0 is done."""

_POLL_S = 0.1
_CONNECT_S = 2.0


class RollCallError(PrerequisiteError):
    """The nodes of a run did not come together."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a node says of itself at the roll call."""

    node: int
    host: str
    token: str
    facts: Mapping[str, Any]
    """What must be the same everywhere."""

    @staticmethod
    def of_this(place: Place, facts: Mapping[str, Any]) -> Card:
        """Return this node's."""
        return Card(place.node, socket.gethostname(), uuid.uuid4().hex, facts)


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """How a node's part of a run ended."""

    reason: str | None
    """`None`: without a failure."""

    was_killed: bool = False
    """A rank there was killed: it did not fail because it lost contact with others."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the ranks of this node could not go on."""

    text: str
    is_certain: bool
    """Whether this is the cause, whatever the ranks here report; else they may have failed first."""


@dataclass(slots=True)
class Nodes:
    """This node's view of the others. `addresses` are those of all nodes, for messages."""

    place: Place
    addresses: Sequence[str]
    store: SealedStore
    silence_s: float = SILENCE_S
    lost: Explanation | None = None
    """Why this node's ranks were ended."""

    is_over: bool = False
    """Rank 0 was done while ranks of this node still ran, so that they were ended."""

    _heard_s: dict[int, float] = field(default_factory=dict)
    _ends: dict[int, NodeEnd] = field(default_factory=dict)
    _is_cut_off: bool = False
    _is_left: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Start the heartbeat, and the thread that ends this node's ranks when another node is lost."""
        now = time.monotonic()
        self._heard_s = dict.fromkeys(self._others(), now)
        for work in (self._exchange, self._guard):
            threading.Thread(target=work, daemon=True).start()

    def say_end(self, end: NodeEnd) -> None:
        """Tell the others how the ranks of this node ended."""
        with suppress(RuntimeError):  # the first node has left already, and with it the store
            self.store.tell(f"end/{self.place.node}", end)

    def explain(self) -> Explanation | None:
        """Return why another node ended, or that it is silent, after at most `FAREWELL_S`."""
        begin = time.monotonic()
        while self.lost is None and not self._is_cut_off and time.monotonic() < begin + FAREWELL_S:
            for node, end in list(self._ends.items()):
                if end.reason is not None:
                    return self._ended(node, end)
            if self._ends.keys() == self._heard_s.keys():
                return None
            time.sleep(_POLL_S)
        silent = [
            node for node, heard_s in self._heard_s.items() if heard_s < begin and node not in self._ends
        ]
        if self.lost is None and silent:
            return Explanation(f"{self._name(silent[0])} is gone without a word", is_certain=True)
        return self.lost

    def leave(self) -> None:
        """Stop the heartbeat; the first node, which keeps the store, waits until the others have ended."""
        if self.place.is_first:
            _until(lambda: self._ends.keys() == self._heard_s.keys(), FAREWELL_S)
        self._is_left.set()

    def _exchange(self) -> None:
        """Beat, and take in the beats and ends of the others, until this node leaves."""
        beats: dict[int, int] = {}
        own = 0
        while not self._is_left.wait(BEAT_S / 4):
            try:
                own += 1
                self.store.tell(f"beat/{self.place.node}", own)
                for node in self._others():
                    if self.store.has([f"beat/{node}"]) and beats.get(node, 0) < (beat := self._beat(node)):
                        beats[node], self._heard_s[node] = beat, time.monotonic()
                    if node not in self._ends and self.store.has([f"end/{node}"]):
                        self._ends[node] = self.store.hear(f"end/{node}", NodeEnd)
            except RankMessageRefused as problem:
                self._give_up(Explanation(str(problem), is_certain=True))
                return
            except RuntimeError:  # the store is on the first node
                self._is_cut_off = True
                return

    def _guard(self) -> None:
        """End this node's ranks when another node failed, is silent, or is done while they go on."""
        over_s: float | None = None
        while not self._is_left.wait(_POLL_S):
            now = time.monotonic()
            for node, end in list(self._ends.items()):
                if end.reason is not None:
                    # Ranks here that notice it themselves say it first, and end without help.
                    if not self._is_left.wait(FAREWELL_S / 2):
                        self._give_up(self._ended(node, end))
                    return
            for node, heard_s in self._heard_s.items():
                is_silent = now - heard_s >= self.silence_s
                if node not in self._ends and (is_silent or self._is_cut_off):
                    why = f"no sign of life for {self.silence_s:g} s" if is_silent else "the connection broke"
                    self._give_up(Explanation(f"{self._name(node)} is gone: {why}", is_certain=True))
                    return
            if 0 in self._ends:
                over_s = over_s or now
                if now - over_s > GRACE_S:
                    self.is_over = True
                    _end_ranks()
                    return

    def _give_up(self, explanation: Explanation) -> None:
        self.lost = explanation
        _end_ranks()

    def _ended(self, node: int, end: NodeEnd) -> Explanation:
        return Explanation(f"{self._name(node)} ended: {end.reason}", is_certain=end.was_killed)

    def _name(self, node: int) -> str:
        return f"node {node} ({self.addresses[node]})"

    def _beat(self, node: int) -> int:
        return self.store.hear(f"beat/{node}", int)

    def _others(self) -> list[int]:
        """Return the nodes whose heartbeat counts here: for the first node all others, else the first."""
        return list(range(1, self.place.nodes)) if self.place.is_first else [0]


def open_store(place: Place, table: RankTable, secret: str, *, patience_s: float) -> SealedStore:
    """Return the store of the first node: kept here if that is this one, else reached within `patience_s`.

    Raises: RollCallError.
    """
    deadline = time.monotonic() + patience_s
    seal = Seal(secret)
    if place.is_first:
        address = listening_address(place.master_address, table)
        try:
            return SealedStore(of_nodes(serve(address, place.port)), seal)
        except (OSError, RuntimeError) as problem:
            raise RollCallError(
                f"port {place.port} of {address} cannot be listened at: {_line(problem)}; end the run "
                f"that is there, or set {PORT_VARIABLE} to a free port, the same on every node"
            ) from problem
    while True:
        _reach(place, deadline, patience_s)
        try:
            store = SealedStore(of_nodes(reach(place)), seal)
            if not store.has(["end/0"]):  # else the store of a run that has just ended
                return store
        except RuntimeError as problem:
            if time.monotonic() > deadline:
                raise RollCallError(
                    f"something else than the first node answers at {_where(place)}: {_line(problem)}"
                ) from problem
        time.sleep(_POLL_S)


def call_roll(
    store: SealedStore, place: Place, card: Card, addresses: Sequence[str], *, patience_s: float
) -> SealedStore:
    """Return the store as the nodes use it from now on, when all are there and about to run the same.

    Raises: RollCallError when one does not come in time, or has another secret; SpecError when one is about
    to run something else.
    """
    store.tell(f"card/{place.node}", card)
    deadline = time.monotonic() + patience_s
    if place.is_first:
        tokens = _call(store, place, card, addresses, deadline, patience_s)
    else:
        try:
            tokens = _answer(store, place, card, deadline, patience_s)
        except RankMessageRefused:
            raise RollCallError(
                f"what answers at {_where(place)} does not know the secret of this run: set "
                f"{SECRET_VARIABLE} to the same on every node"
            ) from None
        except RuntimeError as problem:
            raise RollCallError(
                f"the first node, {_where(place)}, left before all were there: {_line(problem)}"
            ) from problem
    return store.for_the_run(tokens)


def differing_facts(first: Card, other: Card) -> list[str]:
    """Return what `other` is about to do differently, as `name: there ..., on the first node ...`."""
    names = [*first.facts, *(name for name in other.facts if name not in first.facts)]
    return [
        f"{name} is {_short(other.facts.get(name))}, on node 0 it is {_short(first.facts.get(name))}"
        for name in names
        if first.facts.get(name) != other.facts.get(name)
    ]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the first node says at the end of the roll call."""

    tokens: tuple[str, ...]
    """Of the cards that it has seen, in the order of the nodes."""

    error: str | None


def _call(
    store: SealedStore,
    place: Place,
    card: Card,
    addresses: Sequence[str],
    deadline: float,
    patience_s: float,
) -> tuple[str, ...]:
    nodes = range(1, place.nodes)
    _until(lambda: _are_there(store, "card", nodes), deadline - time.monotonic())
    missing = [node for node in nodes if not _are_there(store, "card", [node])]
    strange: list[int] = []
    cards: list[Card] = []
    for node in nodes:
        if node not in missing:
            try:
                cards.append(_card_of(store, node))
            except RankMessageRefused:
                strange.append(node)
    problem: ModelTestError | None = None
    if strange:
        names = ", ".join(f"{node} ({addresses[node]})" for node in strange)
        problem = RollCallError(
            f"what came as node {names} does not know the secret of this run: set {SECRET_VARIABLE} to the "
            f"same on every node, and see who else reaches {_where(place)}"
        )
    elif missing:
        names = ", ".join(f"{node} ({addresses[node]})" for node in missing)
        problem = RollCallError(
            f"node {names} of {place.nodes} did not come to {_where(place)} within {patience_s:g} s; start "
            "the same command there with its own RANK_START, or give the nodes more time with --node-timeout"
        )
    elif others := [(one, found) for one in cards if (found := differing_facts(card, one))]:
        text = "; ".join(f"node {one.node} ({one.host}): {', '.join(found)}" for one, found in others)
        problem = SpecError(f"the nodes are about to run different things: {text}")
    tokens = (card.token, *(one.token for one in cards))
    store.tell("verdict", _Verdict(tokens, str(problem) if problem else None))
    if problem is not None:
        there = [node for node in nodes if node not in missing]
        _until(lambda: _are_there(store, "heard", there), FAREWELL_S / 2)
        raise problem
    return tokens


def _answer(
    store: SealedStore, place: Place, card: Card, deadline: float, patience_s: float
) -> tuple[str, ...]:
    while not store.has(["verdict"]):
        found = _card_of(store, place.node)
        if found.token != card.token:
            raise RollCallError(
                f"{found.host} says that it is node {place.node} too: give each node its own RANK_START"
            )
        if time.monotonic() > deadline:
            raise RollCallError(
                f"the first node, {_where(place)}, did not say within {patience_s:g} s that all are there"
            )
        time.sleep(_POLL_S)
    store.tell(f"heard/{place.node}", True)
    verdict = store.hear("verdict", _Verdict)
    if verdict.error:
        raise RollCallError(verdict.error)
    if card.token not in verdict.tokens:
        raise RollCallError(
            f"the run at {_where(place)} has begun with another process as node {place.node}; end it, or "
            f"give this one its own {PORT_VARIABLE}"
        )
    return verdict.tokens


def _reach(place: Place, deadline: float, patience_s: float) -> None:
    while True:
        try:
            socket.create_connection((place.master_address, place.port), timeout=_CONNECT_S).close()
            return
        except OSError as problem:
            if time.monotonic() > deadline:
                raise RollCallError(
                    f"the first node does not answer at {_where(place)} ({problem.strerror or problem}) "
                    f"within {patience_s:g} s; start the run there with RANK_START 0, and see that MASTER_IP "
                    f"and {PORT_VARIABLE} are the same on every node and no firewall is between them"
                ) from None
        time.sleep(_POLL_S)


def _are_there(store: SealedStore, name: str, nodes: Iterable[int]) -> bool:
    return store.has([f"{name}/{node}" for node in nodes])


def _card_of(store: SealedStore, node: int) -> Card:
    return store.hear(f"card/{node}", Card)


def _until(condition: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _where(place: Place) -> str:
    return f"{place.master_address}:{place.port}"


def _short(value: Any) -> str:
    return f"{value!r:.60}"


def _line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:160]


def _end_ranks() -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # torchrun, in the main thread, ends the ranks
