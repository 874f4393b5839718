"""What a worker makes of the interruptions of a run that was begun before."""

from modeltest.api import Completion, Interruption, Sample, Score
from modeltest.run.record.journal import JournalWriter
from modeltest.run.worker.resumed import answered_in, begun_questions, trials_lost

FIRST = Interruption("t", "killed", 4, in_flight=8)
GIVEN_UP = Interruption("t", "killed again", 4, suspects=("a", "b"), given_up=True)
BY_USER = Interruption("t", "interrupted", 4)
TRIAL = Interruption("t", "killed", 3, suspects=("0/8/1",))


def test_questions_are_read_from_the_journal_with_the_digest_of_their_prompts(tmp_path):
    path = tmp_path / "samples.jsonl"
    assert answered_in(path) == {}
    with JournalWriter(path) as journal:
        journal.append([Sample(Score(name, "s", "c", "yes"), Completion(name), f"0{name}") for name in "ab"])
    assert answered_in(path) == {"a": "0a", "b": "0b"}


def test_what_was_in_flight_is_asked_with_care_until_the_journal_has_grown():
    four, five = frozenset("1234"), frozenset("12345")
    assert begun_questions([FIRST], four).in_flight == 8
    assert begun_questions([FIRST, BY_USER], four).in_flight == 8
    assert begun_questions([FIRST], five).in_flight == 0
    assert begun_questions([BY_USER], four).in_flight == 0


def test_questions_are_given_up_with_the_reason_of_the_loss():
    begun = begun_questions([FIRST, GIVEN_UP], frozenset())
    assert begun.given_up == {"a": "killed again", "b": "killed again"}


def test_a_trial_that_was_lost_once_is_known_and_tried_again():
    lost = trials_lost([TRIAL, BY_USER])
    assert (lost.once, lost.given_up) == (frozenset({"0/8/1"}), {})


def test_a_trial_that_is_given_up_stays_so():
    again = Interruption("t", "killed", 3, suspects=("0/8/1",), given_up=True, out_of_memory=True)
    assert trials_lost([TRIAL, again, BY_USER]).given_up == {"0/8/1": again}
