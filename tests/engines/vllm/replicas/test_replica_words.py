"""What the worker and a replica say to each other comes out as it went in."""

import math
import socket

import pytest

from engines.common.encoding import Encoded
from engines.vllm.replicas.replica import failure_of
from engines.vllm.replicas.words import (
    Answered,
    Asked,
    Batch,
    Failure,
    Line,
    Load,
    Peak,
    Ready,
    Reply,
    Rows,
    Used,
    Word,
)
from modeltest.api import (
    Completion,
    DeviceError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    Request,
    RunSpec,
    TextPrompt,
    TokenPrompt,
    error_by_name,
)

SPEC = RunSpec("vllm_fp32", "test", "test", "llama", "w")
MODEL = ModelInfo("m", "m", "w", "llama", "float32", None, 512, 128, 1, None)
ROW = Encoded(Request("ä", TextPrompt("", (), "q?"), choices=(" a", (3, 4))), (1, 2), ((5,), (6, 7)))

CONTINUED = Encoded(Request("e", TokenPrompt((1, 2)), choices=((6, 7),), each_token=True), (1, 2), ((6, 7),))


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "message",
    [
        Asked(Word.END),
        Asked(Load(SPEC, MODEL, 1 << 40)),
        Asked(Rows((ROW, CONTINUED), 8, (1 << 47,))),
        Reply(Batch((Completion("ä", text="\n", choice_logprobs=(-0.1, -math.inf)),))),
        Reply(Batch((Completion("e", choice_logprobs=(-1.5,), token_logprobs=((-0.5, -1.0),)),))),
        Reply(Ready(EngineInfo("vllm", "cpu", "float32", 9, (1,), 512, {"vllm": "0.32"}))),
        Reply(Used(EngineUsage(computed_tokens=3))),
        Reply(Peak(None)),
        Reply(Answered(3)),
        Reply(Failure("EngineError", "it failed")),
    ],
    ids=lambda message: type(message.what).__name__,
)
def test_a_message_comes_out_as_it_went_in(ends, message):
    one, other = map(Line, ends)
    one.say(message)
    assert other.hear(type(message)) == message


def test_who_dies_in_the_middle_of_a_message_has_said_nothing(ends):
    ours, theirs = ends
    ours.sendall(b'{"what": "pe')
    ours.shutdown(socket.SHUT_WR)
    assert Line(theirs).hear(Asked) is None


def test_something_else_than_a_message_is_refused(ends):
    ours, theirs = ends
    ours.sendall(b'{"what": "anything"}\n')
    with pytest.raises(ValueError, match="what"):
        Line(theirs).hear(Reply)


def test_errors_of_modeltest_keep_their_class():
    failure = failure_of(DeviceError("the device\nis gone"))
    assert error_by_name(failure.error) is DeviceError
    assert failure_of(KeyError("x")) == Failure("EngineError", "KeyError: 'x'")
