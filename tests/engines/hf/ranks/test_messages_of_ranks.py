"""What ranks tell each other, over a wire of this test's: what one puts in, the next takes out."""

import pickle
from collections import deque
from dataclasses import dataclass

import pytest
import torch
import torch.distributed as dist

from engines.common.encoding import Encoded
from engines.hf.ranks.group import Report, _Outcome, _worst
from engines.hf.ranks.messages import LARGEST_BYTES, RankMessages
from engines.hf.ranks.team import Answers, Asked, Begin, Peak, Share, Shared, Together, Word
from modeltest.api import (
    ChatPrompt,
    ChoiceRule,
    Completion,
    EngineUsage,
    Finish,
    RankMessageRefused,
    Request,
    RunSpec,
    TextPrompt,
    TokenPrompt,
    Turn,
)
from modeltest.machine.rank_messages import Seal

SEAL = Seal("a secret of the test's")
ENCODED = (
    Encoded(
        Request("t", TextPrompt("head", ("one", "two"), "题?"), choices=(" A", (5, 6))),
        (1, 2),
        ((3,), (5, 6)),
    ),
    Encoded(Request("c", ChatPrompt((), ((Turn("user", "a"),),), (Turn("user", "b"),)), 4), tuple(range(99))),
    Encoded(Request("e", TokenPrompt((7, 8)), choices=((5, 6),), each_token=True), (7, 8), ((5, 6),)),
    Encoded(Request("i", TokenPrompt((7, 8)), 4, choice_rule=ChoiceRule.LAST_TOKEN), (7, 8), (), 1, 2),
)
COMPLETION = Completion(
    "t",
    "text",
    (1, 2),
    (3,),
    choice_logprobs=(-0.5, float("-inf")),
    choice_is_greedy=(True, False),
    token_logprobs=((-0.25, -0.25), (float("-inf"),)),
    token_times_ns=(10**12,),
    finish=Finish.STOP,
)


class Wire:
    """Takes the place of gloo: rank 0 puts in, the others take out, and the other way round."""

    def __init__(self, monkeypatch):
        self.held = deque()
        self.sends = True
        monkeypatch.setattr(dist, "broadcast", lambda tensor, src: self._pass(tensor))
        monkeypatch.setattr(dist, "send", lambda tensor, dst: self._pass(tensor))
        monkeypatch.setattr(dist, "recv", lambda tensor, src: self._pass(tensor))

    def plant(self, message: bytes, announced: int | None = None):
        self.held.append(torch.tensor([len(message) if announced is None else announced]))
        self.held.append(torch.frombuffer(bytearray(message), dtype=torch.uint8))
        self.sends = False

    def _pass(self, tensor):
        if self.sends:
            self.held.append(tensor.clone())
        else:
            tensor.copy_(self.held.popleft())


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)


@pytest.fixture
def ranks():
    return [RankMessages(rank, 2, SEAL) for rank in (0, 1)]


def _heard(wire, ranks, message):
    wire.sends = True
    ranks[0].broadcast(message)
    wire.sends = False
    return ranks[1].receive_broadcast(type(message))


@pytest.mark.parametrize(
    "what",
    [*Word, Begin(RunSpec("e", "m", "t", "llama", "w")), Together(ENCODED, 4), Shared(8)],
    ids=lambda what: str(what)[:20],
)
def test_what_rank_0_asks_arrives_as_it_was(wire, ranks, what):
    assert _heard(wire, ranks, Asked(what)) == Asked(what)


@pytest.mark.parametrize(
    "message",
    [
        True,
        Share(ENCODED),
        Peak(None),
        Peak(2**40),
        EngineUsage(forward_s=1.5),
        Answers((COMPLETION,)),
        "cpu, 2 threads",
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_ranks_hand_over_arrives_as_it_was(wire, ranks, message):
    ranks[1].send_to_first(message)
    wire.sends = False
    assert ranks[0].gather(type(message)) == [message]
    wire.sends = True
    ranks[0].scatter([None, message])
    wire.sends = False
    assert ranks[1].receive_scattered(type(message)) == message


@dataclass
class Attack:
    """Makes a file when it is unpickled."""

    path: str

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("receive", ["receive_broadcast", "receive_scattered", "gather"])
def test_c1_a_pickle_in_the_place_of_a_message_is_refused_unread(wire, ranks, tmp_path, receive):
    wire.plant(pickle.dumps(Attack(str(tmp_path / "ran"))))
    with pytest.raises(RankMessageRefused, match="number 1' is not from a rank of this run"):
        getattr(ranks[0 if receive == "gather" else 1], receive)(Asked)
    assert not (tmp_path / "ran").exists()


def test_c1_a_message_that_is_said_again_is_refused(wire, ranks):
    ranks[0].broadcast(Asked(Word.PEAK))
    again = list(wire.held)
    wire.sends = False
    assert ranks[1].receive_broadcast(Asked) == Asked(Word.PEAK)
    wire.held.extend(again)
    with pytest.raises(RankMessageRefused, match="'told by rank 0 to all, number 2' is not from a rank"):
        ranks[1].receive_broadcast(Asked)


@pytest.mark.parametrize("announced", [0, -1, LARGEST_BYTES + 1, 2**62])
def test_c1_a_length_that_no_message_has_is_refused_before_memory_is_taken(wire, ranks, announced):
    wire.plant(b"x", announced)
    with pytest.raises(RankMessageRefused, match=f"a message of {announced} bytes is announced"):
        ranks[1].receive_broadcast(Asked)


def test_c1_a_sealed_message_of_another_shape_is_refused(wire, ranks):
    ranks[0].broadcast({"what": {"batch_size": "many"}})
    wire.sends = False
    with pytest.raises(RankMessageRefused, match="has another shape"):
        ranks[1].receive_broadcast(Asked)


def test_every_rank_learns_what_all_exchange(monkeypatch):
    ranks = [RankMessages(rank, 3, SEAL) for rank in range(3)]
    said = [Report(1, _Outcome.DONE, "", "x" * size) for size in (0, 5, 300)]
    sealed = [rank._closed(report, "exchanged", "all") for rank, report in zip(ranks, said, strict=True)]
    lengths, longest = [len(one) for one in sealed], max(map(len, sealed))

    def all_gather(rooms, own):
        for room, one in zip(rooms, sealed, strict=True):
            filled = one.ljust(longest, b"\0")
            room.copy_(torch.tensor([len(one)]) if own.dtype == torch.int64 else torch.tensor(list(filled)))

    monkeypatch.setattr(dist, "all_gather", all_gather)
    assert len(set(lengths)) == 3
    assert RankMessages(1, 3, SEAL).all_gather(said[1]) == said


def test_the_worst_report_of_the_lowest_rank_stands_for_all():
    done, out, failed = (
        Report(1, outcome, "", text)
        for outcome, text in (
            (_Outcome.DONE, ""),
            (_Outcome.OUT_OF_MEMORY, "no room"),
            (_Outcome.FAILED, "broken"),
        )
    )
    assert str(_worst([done, out, out])) == "out of memory on rank 1: no room"
    assert str(_worst([done, failed, out, failed])) == "rank 1: broken"
    same = Report(1, _Outcome.FAILED, "SpecError", "a wrong word")
    assert str(_worst([same, same])) == "a wrong word"
