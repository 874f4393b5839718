"""What samples leave out because an earlier line says it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Completion, Finish, Measurement, ModelTestError, Sample, Score
from modeltest.plain.contracts import to_plain
from modeltest.run.record import likeness
from modeltest.run.record.journal import JournalReader, JournalWriter, read_outcomes
from modeltest.run.record.likeness import KEPT_LINES, EarlierLines

SHOTS = tuple(range(1000, 1040))


def _sample(name: str, tokens: tuple[int, ...], **completion) -> Sample:
    score = Score(name, "law", "humanities", "A", predicted="A", correct=True)
    return Sample(score, Completion(name, prompt_tokens=tokens, finish=Finish.STOP, **completion), "00")


def _lines(path) -> list[dict]:
    return [json.loads(line)["sample"] for line in path.read_text(encoding="utf-8").splitlines()]


def _written(tmp_path, samples):
    path = tmp_path / "samples.jsonl"
    with JournalWriter(path) as journal:
        journal.append(samples)
    return path


def test_tokens_of_shared_examples_stand_once(tmp_path):
    samples = [_sample(f"law/{row}", (*SHOTS, row, row)) for row in range(3)]
    path = _written(tmp_path, samples)
    first, second, third = _lines(path)
    assert first["completion"]["prompt_tokens"] == [*SHOTS, 0, 0]
    assert second == {
        "like": {"line": 1, "prompt_tokens": 40},
        "score": {
            "request_id": "law/1",
            "expected": "A",
            "predicted": "A",
            "correct": True,
            "margin": None,
        },
        "completion": {"prompt_tokens": [1, 1]},
        "prompt_sha256": "00",
    }
    assert third["like"] == {"line": 2, "prompt_tokens": 40}
    assert list(JournalReader(path, Sample)) == samples
    assert list(read_outcomes(path)) == [(f"law/{row}", True) for row in range(3)]


def test_a_prompt_that_shares_less_than_half_stands_whole(tmp_path):
    path = _written(tmp_path, [_sample("a", (*SHOTS, 1)), _sample("b", (*SHOTS[:10], *range(30)))])
    assert [likeness.KEY in line for line in _lines(path)] == [False, False]


def test_subjects_that_take_turns_share_with_their_own(tmp_path):
    prompts = [(subject, *SHOTS, row) for row in range(4) for subject in range(57)]
    samples = [_sample(str(number), prompt) for number, prompt in enumerate(prompts)]
    path = _written(tmp_path, samples)
    lines = _lines(path)
    assert sum(likeness.KEY in line for line in lines) == 3 * 57
    assert lines[57]["like"] == {"line": 1, "prompt_tokens": 41}
    assert lines[2 * 57]["like"] == {"line": 58, "prompt_tokens": 41}
    assert list(JournalReader(path, Sample)) == samples


def test_values_that_python_calls_equal_are_not_left_out(tmp_path):
    samples = [
        _sample(name, (*SHOTS, 1), choice_logprobs=(value,)) for name, value in (("a", 0.0), ("b", -0.0))
    ]
    read = list(JournalReader(_written(tmp_path, samples), Sample))
    assert str(read[1].completion.choice_logprobs) == "(-0.0,)"


def test_a_resumed_journal_goes_on_sharing(tmp_path):
    samples = [_sample(str(row), (*SHOTS, row)) for row in range(6)]
    at_once = _written(tmp_path, samples).read_bytes()
    path = tmp_path / "parts.jsonl"
    for sample in samples:
        with JournalWriter(path) as journal:
            journal.append([sample])
        path.write_bytes(path.read_bytes() + b'{"sample":{"like"')  # torn by a kill
    JournalWriter(path).__exit__(None, None, None)
    assert path.read_bytes() == at_once


def test_a_journal_of_an_older_version_is_gone_on_with_by_sharing(tmp_path):
    path = tmp_path / "samples.jsonl"
    older = [_sample(name, (*SHOTS, 7)) for name in "ab"]
    text = "".join(json.dumps({"sample": to_plain(each)}, separators=(",", ":")) + "\n" for each in older)
    path.write_text(text)
    with JournalWriter(path) as journal:
        journal.append([_sample("c", (*SHOTS, 8))])
    assert _lines(path)[2]["like"] == {"line": 2, "prompt_tokens": 40}
    assert list(JournalReader(path, Sample)) == [*older, _sample("c", (*SHOTS, 8))]


def test_no_more_lines_and_tokens_are_kept_than_the_bounds_say(monkeypatch):
    earlier = EarlierLines()
    for number in range(1, 200):
        earlier.plain(number, (_sample(str(number), (number, *SHOTS))))
    assert len(earlier._kept) == KEPT_LINES
    monkeypatch.setattr(likeness, "KEPT_TOKENS", 100)
    earlier.plain(200, (_sample("200", (200, *SHOTS))))
    assert list(earlier._kept) == [199, 200]
    earlier.plain(201, (_sample("201", tuple(range(101)))))
    assert not earlier._kept


DAMAGES = {
    "none that it can be like": {"like": {"line": 3, "prompt_tokens": 40}},
    "is like line True": {"like": {"line": True, "prompt_tokens": 40}},
    "which has not so many": {"like": {"line": 1, "prompt_tokens": 42}},
    "shares -1 tokens": {"like": {"line": 1, "prompt_tokens": -1}},
    "which line it is like": {"like": 1},
    "which tokens follow": {"completion": {}},
    "which tokens follow ": {"completion": None},
    "what every score says": {"score": {"request_id": "b", "expected": "A"}},
    "Score.margin: expected float": {
        "score": {"request_id": "b", "expected": "A", "predicted": "A", "correct": True, "margin": "1"}
    },
    "Completion: unknown fields": {"completion": {"prompt_tokens": [], "tokens": []}},
    "Completion.prompt_tokens.0.: expected int": {"completion": {"prompt_tokens": ["1"]}},
    "not the parts of a sample": {"more": 1},
}


@pytest.mark.parametrize(("reason", "change"), DAMAGES.items(), ids=DAMAGES)
def test_a_line_that_cannot_be_like_another_is_named(tmp_path, reason, change):
    path = _written(tmp_path, [_sample("a", (*SHOTS, 1)), _sample("b", (*SHOTS, 2))])
    values = [json.loads(line) for line in path.read_text().splitlines()]
    values[1]["sample"].update(change)
    lines = [{"sample": value["sample"]} for value in values]  # as if of a version without digests
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    for read in (
        lambda: list(JournalReader(path, Sample)),
        lambda: list(read_outcomes(path)),
        lambda: JournalWriter(path),
    ):
        with pytest.raises(ModelTestError, match=f"line 2: .*{reason.strip()}"):
            read()


TOKENS = st.lists(st.integers(0, 3), max_size=8)
PROMPTS = st.builds(lambda subject, tail: (*[subject] * 9, *tail), st.integers(0, 4), TOKENS)
COMPLETIONS = st.builds(
    lambda prompt, text, logprobs, error: dict(  # noqa: C408
        prompt_tokens=prompt, text=text, choice_logprobs=tuple(logprobs), error=error
    ),
    st.one_of(PROMPTS, TOKENS.map(tuple)),
    st.sampled_from([None, "", "A", "答\u2028"]),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    st.sampled_from([None, None, "lost"]),
)
MARGINS = st.sampled_from([None, 0.0, -0.0, 1.5])


@st.composite
def _entries(draw):
    """Any sequence of samples, and measurements among them."""
    entries = []
    for number in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 5)) == 0:
            entries.append(Measurement(0, 1, number, "measure", (Completion("m", prompt_tokens=(1, 2)),)))
            continue
        asked = draw(COMPLETIONS)
        failed = asked["error"] is not None
        score = Score(
            str(number),
            draw(st.sampled_from("ab")),
            "c",
            "A",
            predicted=None if failed else "A",
            correct=None if failed else True,
            margin=draw(MARGINS),
            error=asked["error"],
        )
        entries.append(Sample(score, Completion(str(number), **asked), f"{number:02}"))
    return entries


@given(entries=_entries(), batch=st.integers(1, 5), cut=st.integers(0, 1 << 16))
def test_what_is_written_is_read_back_the_same_at_any_cut_of_the_file(tmp_path_factory, entries, batch, cut):
    path = tmp_path_factory.mktemp("cut") / "samples.jsonl"
    with JournalWriter(path) as journal:
        for begin in range(0, len(entries), batch):
            journal.append(entries[begin : begin + batch])
    data = path.read_bytes()
    assert _read_back(path) == repr(_by_kind(entries))
    path.write_bytes(data[: cut % (len(data) + 1)])
    whole = path.read_bytes().count(b"\n")
    assert _read_back(path) == repr(_by_kind(entries[:whole]))
    with JournalWriter(path) as journal:  # what was lost is written again: the file is as if never cut
        journal.append(entries[whole:])
    assert path.read_bytes() == data


def _by_kind(entries):
    return [[each for each in entries if isinstance(each, kind)] for kind in (Sample, Measurement)]


def _read_back(path) -> str:
    return repr([list(JournalReader(path, kind)) for kind in (Sample, Measurement)])
