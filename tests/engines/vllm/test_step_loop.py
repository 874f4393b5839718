"""The step loop and what is read of its answers, on an engine made up of a table."""

import math
from types import SimpleNamespace

import pytest

from engines.common.encoding import Encoded
from engines.vllm.asks import Answer, Ask, prefix_order
from engines.vllm.choosing import choose
from engines.vllm.generating import Checkpoint, Seeds, generate_timed
from engines.vllm.names import Group, Room
from engines.vllm.sizes import Sizes
from engines.vllm.step_loop import StepLoop
from engines.vllm.trial import distance, try_beside, try_cache
from modeltest.api import DeviceError, EngineError, OutOfMemory, Request, TokenPrompt

VOCABULARY = 50


def logprob(prefix, token):
    """Return a log-probability that depends on every token before it."""
    return -1.0 - (hash((tuple(prefix), token)) % 1000) / 500


def likeliest(prefix):
    return max(range(VOCABULARY), key=lambda token: logprob(prefix, token))


class Table:
    """Answers every row in one step; what was said before is reused in blocks of four tokens."""

    def __init__(self, *, fails_above=99, wrong_cache=0.0):
        self.flying, self.known, self.aborted, self.most = {}, set(), [], 0
        self.fails_above, self.wrong_cache, self.forgotten = fails_above, wrong_cache, 0

    def add(self, name, ask):
        self.flying[name] = (ask, [])

    def is_busy(self):
        return bool(self.flying)

    def abort(self, names):
        self.aborted += names
        for name in names:
            self.flying.pop(name, None)

    def forget(self):
        self.known.clear()
        self.forgotten += 1

    def step(self):
        self.most = max(self.most, len(self.flying))
        if len(self.flying) > self.fails_above:
            raise RuntimeError("not enough memory")
        outputs = []
        for name, (ask, said) in list(self.flying.items()):
            said.append(likeliest([*ask.ids, *said]))
            finished = len(said) == ask.new_tokens
            outputs.append(SimpleNamespace(request_id=name, said=said[-1], finished=finished))
            if finished:
                del self.flying[name]
        return outputs

    def take(self, output, ask, answer, now_ns, clock_ns):
        answer.tokens.append(output.said)
        if ask.is_watched or output.finished:
            answer.times_ns.append(now_ns)
        answer.is_finished = output.finished
        if not output.finished:
            return
        reused = self._reused(ask) if ask.may_reuse else 0
        answer.reused_tokens = reused
        shift = self.wrong_cache if reused else 0.0
        tokens = [*ask.wanted, *range(ask.top), answer.tokens[0]]
        answer.logprobs = {token: logprob(ask.ids, token) + shift for token in tokens}
        if ask.scores_row:
            answer.row_logprobs = {
                at: {
                    token: logprob(ask.ids[: at + 1], token)
                    for token in (ask.ids[at + 1], likeliest(ask.ids[: at + 1]))
                }
                for at in range(reused, len(ask.ids) - 1)
            }
        self.known.update(ask.ids[:end] for end in range(4, len(ask.ids) + 1, 4))

    def _reused(self, ask):
        return max((end for end in range(4, len(ask.ids), 4) if ask.ids[:end] in self.known), default=0)


def encoded(ids, choices=(), replaces=(), **more):
    request = Request(str(hash(ids) % 1000), TokenPrompt(tuple(ids)), **more)
    return Encoded(request, tuple(ids), tuple(choices), replaces=replaces)


def chosen(batch, table=None, batch_size=3):
    loop = StepLoop(table or Table())
    return [one for part in choose(batch, loop, batch_size) for one in part], loop


def test_rows_that_begin_alike_come_next_to_one_another():
    assert prefix_order([(5, 2), (1, 9), (5, 1), (1,)]) == [3, 1, 2, 0]


def test_choices_of_one_token_are_read_behind_the_prompt():
    prompts = [(1, 2, 3, 4, 5, 6, 7, last) for last in (8, 9, 10)]
    completions, loop = chosen([encoded(ids, [(20,), (21,)]) for ids in prompts])
    for one in completions:
        assert one.choice_logprobs == pytest.approx([logprob(one.prompt_tokens, each) for each in (20, 21)])
        top = likeliest(one.prompt_tokens)
        assert one.choice_is_greedy == (top == 20, top == 21)
    assert loop.counts.reused_tokens > 0
    assert loop.counts.reused_tokens + loop.counts.computed_tokens == 3 * 8


@pytest.mark.parametrize("length", range(2, 14))
def test_longer_choices_are_summed_whatever_the_cache_holds(length):
    prompt = tuple(range(1, length + 1))
    choices = [(20, 21, 22), (20, 21), (30,) * 9]
    (one,), _ = chosen([encoded(prompt, choices)], batch_size=1)
    for ids, found in zip(choices, one.choice_logprobs, strict=True):
        expected = sum(logprob((*prompt, *ids[:at]), token) for at, token in enumerate(ids))
        assert found == pytest.approx(expected)


def test_a_choice_that_replaces_the_end_of_the_prompt_is_read_without_it():
    prompt = (1, 2, 3, 4, 5)
    (one,), _ = chosen([encoded(prompt, [(40,), (20,)], replaces=(2, 0))])
    taken_away = logprob(prompt[:3], 4) + logprob(prompt[:4], 5)
    assert one.choice_logprobs[0] == pytest.approx(logprob(prompt[:3], 40) - taken_away)
    assert one.choice_logprobs[1] == pytest.approx(logprob(prompt, 20))


def test_at_most_the_batch_size_is_in_flight():
    table = Table()
    chosen([encoded((1, place), [(3,)]) for place in range(10)], table, batch_size=4)
    assert table.most == 4


def test_what_does_not_fit_together_is_asked_in_halves():
    batch = [encoded((1, place), [(3,)]) for place in range(10)]
    table = Table(fails_above=2)
    completions, loop = chosen(batch, table, batch_size=8)
    assert len(completions) == 10
    assert not any(one.error for one in completions)
    assert loop.counts.split_batches == 2
    assert table.forgotten == 2, "what was planned and not computed is not read"


def test_a_row_that_does_not_fit_even_alone_fails_alone():
    completions, _ = chosen([encoded((1, 2), [(3,)])], Table(fails_above=0), batch_size=1)
    assert "out of memory" in completions[0].error


def test_an_engine_that_cannot_forget_is_given_up():
    class Stuck(Table):
        def forget(self):
            raise EngineError("blocks are in use")

    with pytest.raises(DeviceError, match="blocks are in use"):
        chosen([encoded((1, 2), [(3,)])], Stuck(fails_above=0))


def test_a_row_ends_where_it_is_told_to_and_what_follows_is_dropped():
    table = Table()
    ask = Ask((1, 2), new_tokens=9, ends=lambda token, tokens: len(tokens) == 3)
    ((done,),) = StepLoop(table).together([ask], 1)
    assert (len(done.answer.tokens), done.answer.ended, len(table.aborted)) == (3, True, 1)


def timed(count, *, blocks=100, table=None, loop=None, only_end=False, tokens=4):
    batch = [
        encoded((1, 2, 3, place), max_new_tokens=tokens, ignore_eos=True, only_end_timed=only_end)
        for place in range(count)
    ]
    checkpoint = Checkpoint(None, frozenset())
    sizes = Sizes(4, 64, 8, 32, is_timed=True)
    room = Room(blocks, (Group(4, None),))
    loop = loop or StepLoop(table or Table())
    return generate_timed(batch, loop, checkpoint, sizes=sizes, room=room)


class OtherClock(Table):
    """Tells times of its own: of the first token so far from what is taken, of the last the same."""

    def __init__(self, first_off_ns):
        super().__init__()
        self.first_off_ns = first_off_ns

    def take(self, output, ask, answer, now_ns, clock_ns):
        super().take(output, ask, answer, now_ns, clock_ns)
        answer.engine_times_ns = (answer.times_ns[0] + self.first_off_ns, answer.times_ns[-1])


@pytest.mark.parametrize(("off_ns", "differing"), [(0, 0), (1_999_000, 0), (10**9, 2), (-(10**9), 2)])
def test_times_far_from_those_of_the_library_are_counted(off_ns, differing):
    loop = StepLoop(OtherClock(off_ns))
    timed(2, loop=loop)
    assert (loop.counts.held_times, loop.counts.differing_times) == (4, differing)


def test_without_other_times_none_is_held_against_them():
    loop = StepLoop(Table())
    timed(2, loop=loop)
    assert loop.counts.held_times == 0


def test_a_timed_batch_has_a_growing_time_for_every_token():
    for one in timed(3):
        assert len(one.token_times_ns) == len(one.output_tokens) == 4
        assert list(one.token_times_ns) == sorted(one.token_times_ns)
        assert one.token_times_ns[0] > 0


def test_where_the_end_alone_is_timed_there_is_no_other_time():
    for one in timed(2, only_end=True):
        assert one.token_times_ns == ()
        assert one.end_ns > 0


def test_a_batch_beyond_the_blocks_of_the_cache_is_out_of_memory_before_it_runs():
    table = Table()
    with pytest.raises(OutOfMemory, match=r"2 rows of up to 8 tokens need 4 blocks .* it has 3"):
        timed(2, blocks=4, table=table)
    assert table.most == 0


def test_tokens_are_counted_not_believed():
    class Short(Table):
        def take(self, output, ask, answer, now_ns, clock_ns):
            answer.tokens.append(1)
            answer.times_ns.append(now_ns)
            answer.is_finished = True

    with pytest.raises(EngineError, match=r"gave 1 tokens .* asked were 4"):
        timed(1, table=Short())


def test_a_timed_row_that_was_taken_out_did_not_fit():
    class Preempting(Table):
        def take(self, output, ask, answer, now_ns, clock_ns):
            super().take(output, ask, answer, now_ns, clock_ns)
            answer.preemptions = 1

    with pytest.raises(OutOfMemory, match="rows were taken out"):
        timed(1, table=Preempting())


def test_a_window_holds_no_more_blocks_than_it_looks_back():
    room = Room(100, (Group(4, None), Group(4, 8)))
    assert room.blocks_of(40, 4) == 10 + 4


def test_seeds_are_different_and_come_again():
    seeds = Seeds(3)
    first = [seeds.next() for _ in range(3)]
    assert len(set(first)) == 3
    again = Seeds(3)
    assert [again.next() for _ in range(3)] == first
    assert Seeds(4).next() not in first


def test_a_cache_that_is_right_is_read_and_one_that_is_not_is_switched_off():
    text = tuple(range(1, 40))
    right = try_cache(StepLoop(Table()), text, block_tokens=4, dtype="float32")
    wrong = try_cache(StepLoop(Table(wrong_cache=0.01)), text, block_tokens=4, dtype="float32")
    rounded = try_cache(StepLoop(Table(wrong_cache=0.01)), text, block_tokens=4, dtype="bfloat16")
    assert (right.is_right, wrong.is_right, rounded.is_right) == (True, False, True)
    assert "differs by 0.01 nats (0.001 are allowed)" in wrong.notes[0]


def test_a_model_whose_rows_change_with_what_is_beside_them_is_refused():
    class Leaking(Table):
        def take(self, output, ask, answer, now_ns, clock_ns):
            super().take(output, ask, answer, now_ns, clock_ns)
            if output.finished and self.beside:
                answer.logprobs = {token: value - 0.1 * token for token, value in answer.logprobs.items()}

        def step(self):
            self.beside = len(self.flying) > 1
            return super().step()

    try_beside(StepLoop(Table()), tuple(range(1, 40)), dtype="float32")
    with pytest.raises(EngineError, match=r"changes by .* nats with the prompt beside it"):
        try_beside(StepLoop(Leaking()), tuple(range(1, 40)), dtype="float32")


def test_distributions_are_compared_by_what_they_say():
    truth = {1: math.log(0.9), 2: math.log(0.1)}
    assert distance(truth, truth) == 0
    assert distance({1: math.log(0.9), 2: math.log(0.1) - 1}, truth) == pytest.approx(math.sqrt(0.1))
    assert distance({1: math.log(0.9)}, truth) == math.inf
    assert distance({1: math.nan, 2: 0.0}, truth) == math.inf


def test_an_answer_begins_empty():
    assert Answer() == Answer([], [])
