from modeltest.api import Completion, Sample, Score, WithoutTokens
from modeltest.run.ending import kept_answers
from modeltest.run.ending.kept_answers import KeptAnswers


def _sample(name: str, tokens: tuple[int, ...] = (1, 2)) -> Sample:
    completion = Completion(
        name, text="A", prompt_tokens=tokens, output_tokens=tokens, choice_tokens=(tokens,)
    )
    return Sample(Score(name, "s", "c", "A"), completion, "00")


BARE = [Sample(Score(name, "s", "c", "A"), Completion(name, text="A"), "00") for name in "ab"]


class _Counted(list):
    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


def test_what_was_gone_through_is_kept_without_tokens_and_not_read_again():
    source = _Counted(map(_sample, "ab"))
    samples = KeptAnswers(source)
    assert isinstance(samples, WithoutTokens)
    assert list(samples) == [_sample("a"), _sample("b")]
    assert list(samples.without_tokens()) == BARE
    assert list(samples.without_tokens()) == BARE
    assert source.times == 1
    assert list(samples) == [_sample("a"), _sample("b")], "read anew, with its tokens"
    assert source.times == 2


def test_what_nobody_has_gone_through_to_the_end_is_read():
    source = _Counted(map(_sample, "ab"))
    samples = KeptAnswers(source)
    next(iter(samples))
    assert list(samples.without_tokens()) == BARE
    assert source.times == 2


def test_more_samples_than_a_page_shows_are_not_kept(monkeypatch):
    monkeypatch.setattr(kept_answers, "MOST_KEPT", 1)
    source = _Counted(map(_sample, "ab"))
    samples = KeptAnswers(source)
    list(samples)
    assert list(samples.without_tokens()) == BARE
    assert source.times == 2
