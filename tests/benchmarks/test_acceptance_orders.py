"""Orders of one candidate's answers: judged as `accept` judges them, and counted."""

from dataclasses import replace
from random import Random

import acceptance_orders
import pytest
from acceptance_orders import Candidate, Judged, judged, line_of, spread, without
from made_packs import answer_to, computation, letters, made_pack, right, text

from modeltest.acceptance.judging import Asked, Judging, drop_limits_of
from modeltest.api import PackAnswer, Role

ROUNDING = 0.01
"""In nats, of the twin and of a correct port."""


def told(one, seed, *, by=0.0):
    draws = Random(f"{seed} {one.id}")
    return PackAnswer(one.id, tuple(-2.0 + draws.gauss(0, ROUNDING) + by for _ in one.ids))


def answered(question, seed):
    draws, known = Random(f"{seed} {question.id}"), right(question)
    return replace(known, logprobs=tuple(each + draws.gauss(0, ROUNDING) for each in known.logprobs))


QUESTIONS = [letters(number) for number in range(60)]
TEXTS = [text(number, tokens=24) for number in range(120)]


def port(seed, *, by=0.0):
    """Return what a port answers: rounding alone, or tokens moved by as many nats as well."""
    answers = {one.id: answered(one, seed) for one in QUESTIONS}
    return {**answers, **{one.id: told(one, seed, by=by) for one in TEXTS}}


@pytest.fixture(scope="module")
def pack():
    made = made_pack(QUESTIONS, TEXTS, twins={"bf16-batch-8": port("twin")})
    fault = computation("direction", Role.DIRECTION, fault="value_scale:1.01")
    answers = {**made.answers, "direction": {one.id: told(one, "reference", by=0.005) for one in TEXTS}}
    manifest = replace(made.manifest, computations=(*made.manifest.computations, fault))
    return replace(made, manifest=manifest, answers=answers)


def candidate(answers):
    return Candidate("port", "bfloat16", answers, tells_tokens=True)


def test_a_correct_port_is_accepted_and_a_faulty_one_rejected_in_every_order(pack):
    clean = list(judged(pack, candidate(port("port")), range(20)))
    faulty = list(judged(pack, candidate(port("port", by=ROUNDING / 3)), range(20)))
    assert {each.decision for each in clean} == {"ACCEPT"}
    assert {each.decision for each in faulty} == {"REJECT"}
    assert len({each.texts for each in faulty}) > 1, "orders differ"
    assert max(each.texts for each in faulty) < len(TEXTS)


def test_an_order_ends_as_it_does_without_what_is_remembered(pack):
    answers = port("port")
    for found in judged(pack, candidate(answers), range(3)):
        judging = Judging(pack, Asked(found.seed, drop_limits_of(pack), True, "bfloat16"))
        while window := judging.window():
            judging.take([(unit, answers[unit.id]) for unit in window])
        assert (found.decision, found.questions, found.texts) == (
            judging.decision.value,
            judging.questions,
            judging.texts,
        )


def test_a_candidate_that_tells_no_tokens_is_undecided(pack):
    answers = {one.id: answered(one, "port") for one in QUESTIONS}
    found = list(judged(pack, Candidate("port", "bfloat16", answers, tells_tokens=False), range(2)))
    assert [(each.decision, each.texts) for each in found] == [("UNDECIDED", 0)] * 2


def test_directions_are_left_out_by_name(pack):
    assert without(pack, ["value_scale:1.01"]) == without(pack, ["all"])
    assert without(pack, ["all"]).of_role(Role.DIRECTION) == ()
    assert without(pack, []) == pack
    with pytest.raises(SystemExit, match=r"has no direction 'x'; it has: value_scale:1\.01"):
        without(pack, ["x"])


def test_orders_are_counted():
    found = [Judged("run", seed, "ACCEPT", seed, 2) for seed in range(1, 20)]
    found.append(Judged("run", 20, "REJECT", 20, 3))
    line = line_of("run", found, 0.25)
    assert line.split() == ["run", "20", "95.00%", "5.00%", "0.00%", "10.5", "19", "2", "2", "0.2500"]


@pytest.mark.parametrize(
    ("numbers", "said"), [([7], "7 7"), (list(range(1, 21)), "10.5 19"), (list(range(1, 101)), "50.5 95")]
)
def test_a_spread_is_the_median_and_what_most_stay_within(numbers, said):
    assert spread(numbers) == said


def test_a_word_that_is_no_command_is_named(monkeypatch):
    monkeypatch.setattr("sys.argv", ["acceptance_orders.py", "tell"])
    with pytest.raises(SystemExit, match="'tell' is neither ask nor judge"):
        acceptance_orders.main()


def test_no_word_shows_the_usage(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["acceptance_orders.py"])
    acceptance_orders.main()
    assert "Judges the same answers to a reference pack" in capsys.readouterr().out


def test_a_whole_pack_is_asked_and_its_run_judged(tmp_path, capsys):
    from modeltest.packs.files import write_pack

    few = made_pack(QUESTIONS[:24], TEXTS[:20], twins={"bf16-batch-8": port("twin")})
    few = replace(few, answers={name: kept(few, answers) for name, answers in few.answers.items()})
    write_pack(tmp_path / "x.ref", few)
    words = [
        "--pack",
        str(tmp_path / "x.ref"),
        "--model",
        "none",
        "--engine",
        "fake",
        "--output",
        str(tmp_path),
    ]
    directory = acceptance_orders.ask(words)
    to = tmp_path / "orders.jsonl"
    acceptance_orders.judge([str(tmp_path / "x.ref"), str(directory), "--orders", "3", "--to", str(to)])
    assert directory.name in capsys.readouterr().out
    assert len(to.read_text().splitlines()) == 3


def kept(pack, answers):
    names = {one.id for one in (*pack.questions, *pack.texts)}
    return {name: answer for name, answer in answers.items() if name in names}


def test_a_run_that_was_not_asked_everything_is_refused(pack, tmp_path, monkeypatch):
    class Result:
        samples = ()

    monkeypatch.setattr(acceptance_orders, "read_result", lambda _: Result)
    with pytest.raises(
        SystemExit, match="has no answer to 60 questions and texts of the pack, such as mmlu/"
    ):
        acceptance_orders.candidate_of(pack, tmp_path)


def test_an_answer_that_flips_counts_against_a_port(pack):
    answers = port("port")
    flipped = {one.id: answer_to(one, (one.record.fields["answer"] == "A") * 1) for one in QUESTIONS[:30]}
    found = list(judged(pack, candidate({**answers, **flipped}), range(5)))
    assert {each.decision for each in found} == {"REJECT"}
