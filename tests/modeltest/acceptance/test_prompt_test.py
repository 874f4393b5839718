"""Prompts as text and the token ids they become."""

from modeltest.acceptance.prompt_test import PromptTest
from modeltest.api import Leaning


def after(*became, population=3):
    test = PromptTest(population)
    for each in became:
        test.take(each)
    return test


def test_it_is_open_until_all_were_asked():
    assert after(True, False).leaning is Leaning.OPEN
    assert after(True, True, True).leaning is Leaning.PASSED
    assert after(True, False, True).leaning is Leaning.FAILED


def test_what_is_not_told_is_no_pass_and_hides_no_difference():
    assert after(True, None, True).leaning is Leaning.NOT_RUN
    assert after(None, None, None).rate is None
    found = after(True, None, False)
    assert found.leaning is Leaning.FAILED
    assert found.rate == 0.5


def test_a_pack_without_any_is_not_run():
    assert after(population=0).leaning is Leaning.NOT_RUN
