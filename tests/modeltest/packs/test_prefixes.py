from made_packs import letters

from modeltest.packs.prefixes import common_beginning, shared_prefixes


def test_the_common_beginning_is_what_all_begin_with():
    assert common_beginning([(1, 2, 3), (1, 2, 4), (1, 2)]) == (1, 2)
    assert common_beginning([(1, 2), (3,)]) == ()
    assert common_beginning([(1, 2)]) == (1, 2)


def test_prompts_of_a_subject_share_and_those_of_another_do_not():
    questions = [letters(number, subject=subject) for number, subject in enumerate("aab")]
    shared = shared_prefixes(questions)
    assert shared.prefixes == ((*range(100, 112), 1),)
    assert shared.of == {"mmlu/a/0": 0, "mmlu/a/1": 0}
    assert [shared.length(question) for question in questions] == [13, 13, 0]


def test_one_prompt_that_another_begins_with_is_a_prefix_of_both():
    short, long = letters(0, prompt=range(10)), letters(1, prompt=range(20))
    assert shared_prefixes([short, long]).prefixes == (tuple(range(10)),)


def test_a_short_beginning_is_not_shared():
    assert shared_prefixes([letters(0, prompt=(1, 2, 3)), letters(1, prompt=(1, 2, 4))]).prefixes == ()
