from itertools import pairwise

from made_packs import letters

from modeltest.packs.texts import chosen_texts

SHOTS = tuple(range(900_000, 900_128))


def _questions(count, *, own=100, shots=SHOTS):
    return [letters(n, prompt=(*shots, *range(n * 1000 + 100, n * 1000 + 100 + own))) for n in range(count)]


def _pieces(texts):
    return [(*text.context[-16:], *text.ids) for text in texts]


def test_texts_are_pieces_of_prompts_and_none_is_there_twice():
    questions = _questions(10)
    texts = chosen_texts(questions, 1000, seed=0, special_ids=())
    pieces = _pieces(texts)
    assert len(set(pieces)) == len(pieces) == 2 + 10, "two of the shots, and one of each question"
    for piece in pieces:
        assert any(piece == question.prompt[at : at + 64] for question in questions for at in (0, 64, 128))
    assert {len(text.ids) for text in texts} == {48}
    assert [text.id for text in texts] == [f"text/{number}" for number in range(12)]


def test_a_text_that_two_questions_share_is_told_once():
    twice = [letters(0, subject="a", prompt=range(70)), letters(1, subject="b", prompt=range(70))]
    assert len(chosen_texts(twice, 10, seed=0, special_ids=())) == 1


def test_the_seed_says_which_and_they_are_spread():
    questions = _questions(200)
    drawn = {seed: _pieces(chosen_texts(questions, 20, seed=seed, special_ids=())) for seed in range(3)}
    assert drawn[0] == _pieces(chosen_texts(questions, 20, seed=0, special_ids=()))
    assert drawn[0] != drawn[1] != drawn[2]
    owners = sorted(piece[0] // 1000 for piece in drawn[0] if piece[0] < 900_000)
    assert max(after - before for before, after in pairwise(owners)) < 60


def test_one_text_in_four_stands_where_it_is_in_its_prompt():
    texts = chosen_texts(_questions(12, own=64), 14, seed=0, special_ids=())
    lengths = [len(text.context) for text in texts]
    assert set(lengths[1::4] + lengths[2::4] + lengths[3::4]) == {16}
    assert max(lengths[::4]) == 128 + 16
    for text in texts[::4]:
        if len(text.context) > 80:
            assert text.context[:128] == SHOTS


def test_a_special_token_that_all_prompts_begin_with_stands_before_each_context():
    questions = _questions(8, shots=(1, *SHOTS))
    for text in chosen_texts(questions, 20, seed=0, special_ids={1}):
        assert text.context[0] == 1
        assert text.context.count(1) == 1
    without = chosen_texts(questions, 20, seed=0, special_ids={2})
    assert any(text.context[0] != 1 for text in without)


def test_short_prompts_give_no_text():
    assert chosen_texts([letters(0)], 5, seed=0, special_ids=()) == []
    assert chosen_texts([], 5, seed=0, special_ids=()) == []
