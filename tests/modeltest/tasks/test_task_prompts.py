"""Header, worked examples and question as text and as turns."""

from modeltest.api import ChatPrompt, TextPrompt, Turn
from modeltest.tasks.prompts import WorkedExample, lay_out

SHOTS = (WorkedExample("1 + 1 =", "2"), WorkedExample("1 + 2 =", "3"))


def test_text_puts_a_space_before_an_answer_and_a_blank_line_after_it():
    prompt = lay_out("Sums.\n\n", SHOTS, "2 + 2 =", chat=False)
    assert prompt == TextPrompt("Sums.\n\n", ("1 + 1 = 2\n\n", "1 + 2 = 3\n\n"), "2 + 2 =")
    assert prompt.text == "Sums.\n\n1 + 1 = 2\n\n1 + 2 = 3\n\n2 + 2 ="


def test_chat_keeps_the_header_s_line_ends_and_leaves_separators_to_the_template():
    assert lay_out("Sums.\n\n", SHOTS[:1], "2 + 2 =", chat=True) == ChatPrompt(
        header=(Turn("system", "Sums.\n\n"),),
        shots=((Turn("user", "1 + 1 ="), Turn("assistant", "2")),),
        question=(Turn("user", "2 + 2 ="),),
    )


def test_chat_without_header_has_no_system_message():
    assert lay_out("", (), "2 + 2 =", chat=True).turns == (Turn("user", "2 + 2 ="),)
