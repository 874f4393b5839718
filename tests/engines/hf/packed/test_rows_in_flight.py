"""Keys and values of rows in flight, in numbers that attention over them can be told by."""

import pytest
import torch

from engines.hf.packed.rows_in_flight import SHORT_PREFIX_TOKENS, Held, RowsInFlight, apart

HEADS, KEY_HEADS, WIDTH = 4, 2, 8


def _held(start: int, tokens: int, fill: float | None = None) -> Held:
    shape = (1, KEY_HEADS, tokens, WIDTH)
    states = [torch.randn(shape) if fill is None else torch.full(shape, fill) for _ in range(2)]
    return Held(start, {0: (states[0], states[1])})


def _pass(flying: RowsInFlight, counts, fed, window=None):
    """Feed `fed` random tokens of every row, of which `counts` are its own; return what went in and out."""
    rows = len(flying)
    flying.give([[0] * fed] * rows)
    flying.prepare()
    query = torch.randn(1, HEADS, rows * fed, WIDTH)
    key, value = (torch.randn(1, KEY_HEADS, rows * fed, WIDTH) for _ in range(2))
    output = flying.attend(0, query, key, value, scale=0.3, window=window)
    flying.keep(counts)
    return output, query, key, value


class Mirror:
    """Rows in flight beside the whole keys and values of each, kept as anyone would."""

    def __init__(self, room: int) -> None:
        self.flying = RowsInFlight(room, "cpu")
        self.states: dict[int, list[torch.Tensor]] = {}

    def admit(self, name, prefixes, own, last=10**6):
        self.flying.admit(name, prefixes, own, last_position=last)
        parts = [part.keys_values[0] for part in (*prefixes, *own)]
        self.states[name] = [torch.cat([part[each] for part in parts], dim=2) for each in (0, 1)]

    def take_out(self, name):
        self.flying.take_out(name)
        del self.states[name]

    def step(self, window=None, fed=1):
        """Feed tokens, of which every row keeps at least one, and see what the kept ones look at."""
        names = self.flying.names
        counts = [1 + (place + len(self.states[name][0][0, 0])) % fed for place, name in enumerate(names)]
        output, query, *new = _pass(self.flying, counts, fed, window)
        for place, (name, count) in enumerate(zip(names, counts, strict=True)):
            for token in range(place * fed, place * fed + count):
                self.states[name] = [
                    torch.cat([known, each[:, :, token : token + 1]], dim=2)
                    for known, each in zip(self.states[name], new, strict=True)
                ]
                keys, values = (
                    each[:, :, -(window or 10**6) :].repeat_interleave(HEADS // KEY_HEADS, dim=1)
                    for each in self.states[name]
                )
                scores = (query[:, :, token : token + 1] @ keys.transpose(-1, -2)) * 0.3
                expected = (scores.softmax(dim=-1) @ values)[0, :, 0]
                torch.testing.assert_close(output[0, token], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fed", [1, 3])
@pytest.mark.parametrize("window", [None, 7, 30, 1000])
def test_a_row_looks_at_its_prefixes_and_its_own_tokens_whenever_it_came(window, fed):
    torch.manual_seed(0)
    mirror = Mirror(5)
    long, below = _held(0, 20), _held(20, 5)
    mirror.admit(7, [long], [_held(20, 3)])
    mirror.step(window, fed)
    mirror.admit(8, [long, below], [_held(25, 11)])
    mirror.admit(9, [], [_held(0, 2)])
    for _ in range(3):
        mirror.step(window, fed)
    mirror.take_out(7)
    mirror.admit(10, [long], [_held(20, 40)])  # longer than all before: they move to the right
    mirror.admit(11, [long], [_held(20, 1)])
    for _ in range(200):  # beyond the columns there were: room is made
        mirror.step(window, fed)
    mirror.take_out(8)
    mirror.step(window, fed)
    mirror.take_out(11)
    mirror.take_out(10)
    mirror.step(window, fed)
    mirror.take_out(9)
    assert len(mirror.flying) == 0
    mirror.admit(12, [], [_held(0, 4)])
    mirror.step(window, fed)


def test_positions_go_on_from_the_end_of_what_is_held():
    flying = RowsInFlight(2, "cpu")
    flying.admit(4, [_held(0, 20)], [_held(20, 3)], last_position=24)
    flying.give([[55, 56]])
    assert (flying.names, flying.ids, flying.positions, flying.free) == ([4], [55, 56], [23, 24], 1)
    _pass(flying, [1], 2)
    assert flying.positions == [24, 24]  # the last one: what is guessed behind it goes no farther


def test_tokens_that_were_not_a_rows_own_leave_no_room_behind_when_there_is_none_left():
    flying = RowsInFlight(1, "cpu")
    flying.admit(0, [], [_held(0, 3)], last_position=999)
    for _ in range(400):  # three of four are not its own
        _pass(flying, [1], 4)
    assert flying._layers[0][0].shape[2] <= 403 + 2 * 128


def test_what_is_guessed_behind_the_last_position_is_seen_by_nobody():
    torch.manual_seed(0)
    mirror = Mirror(1)
    mirror.admit(0, [_held(0, 20)], [_held(20, 4)], last=25)
    mirror.step(fed=3)  # positions 24 and 25, and one too many, of which the first is kept
    assert mirror.flying.positions[0] == 25
    mirror.step(fed=1)


def test_what_is_not_a_number_in_a_row_does_not_reach_the_one_that_takes_its_place():
    torch.manual_seed(0)
    mirror = Mirror(2)
    mirror.admit(0, [], [_held(0, 9)])
    mirror.flying.admit(1, [], [_held(0, 30, float("nan"))], last_position=99)
    mirror.flying.take_out(1)
    mirror.admit(2, [], [_held(0, 2)])
    mirror.step()


def test_what_is_not_a_number_in_a_row_does_not_reach_the_one_that_moves_to_its_place():
    torch.manual_seed(0)
    mirror = Mirror(2)
    mirror.flying.admit(1, [], [_held(0, 30, float("nan"))], last_position=99)
    mirror.admit(0, [], [_held(0, 2)])
    mirror.flying.take_out(1)
    mirror.step()
    mirror.admit(2, [], [_held(0, 5)])
    mirror.step()


def test_a_short_prefix_in_front_of_its_own_end_becomes_a_rows_own():
    long, short, end = _held(0, SHORT_PREFIX_TOKENS), _held(64, SHORT_PREFIX_TOKENS - 1), _held(127, 5)
    assert apart([long, short, end]) == ([long], [short, end])
    assert apart([short, long, end]) == ([short, long], [end])
    assert apart([end]) == ([], [end])
