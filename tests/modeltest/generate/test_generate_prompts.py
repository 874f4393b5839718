import json

import pytest

from modeltest.api import ChatPrompt, GenerationOptions, SpecError, TextPrompt, TokenPrompt, Turn
from modeltest.generate.prompts import describe_prompt, read_prompts


def read(path=None, *texts, chat=False, repeat=1):
    file = None if path is None else str(path)
    options = GenerationOptions(max_new_tokens=4, input_texts=texts, input_file=file, repeat=repeat)
    return read_prompts(options, chat=chat)


@pytest.fixture
def file(tmp_path):
    def write(*values):
        path = tmp_path / "dialogues.jsonl"
        path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
        return path

    return write


TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "你好"}]


def test_texts_come_first_then_the_lines_of_the_file(file):
    path = file("third", [5, 6], {"prompt": "fifth", "id": 7}, {"question": "sixth"})
    found = read(path, "first", "second")
    assert [describe_prompt(prompt) for prompt in found] == [
        *("first", "second", "third", [5, 6], "fifth", "sixth")
    ]
    assert found[0] == TextPrompt("", (), "first")
    assert found[3] == TokenPrompt((5, 6))


def test_a_conversation_keeps_its_turns(file):
    expected = ChatPrompt((), (), (Turn("system", "Be brief."), Turn("user", "你好")))
    found = read(file(TURNS, {"messages": TURNS}), chat=True)
    assert found == [expected, expected]
    assert describe_prompt(found[0]) == TURNS


def test_of_a_chat_model_a_text_is_what_the_user_says():
    assert read(None, "hello", chat=True) == [ChatPrompt((), (), (Turn("user", "hello"),))]


def test_a_single_prompt_is_asked_as_often_as_wanted(file):
    assert read(None, "hello", repeat=3) == [TextPrompt("", (), "hello")] * 3
    with pytest.raises(SpecError, match="--batch-size 2 asks one prompt that often, there are 2 prompts"):
        read(file("a", "b"), repeat=2)


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"one\u2028two"\n\n"three"\r\n', encoding="utf-8")
    assert [prompt.text for prompt in read(path)] == ["one\u2028two", "three"]


def test_a_prompt_of_two_hundred_thousand_words_is_a_prompt(file):
    (found,) = read(file("word " * 200_000))
    assert len(found.text) == 1_000_000


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "is no prompt; expected a text"),
        ([], "is no prompt"),
        (3, "is no prompt"),
        ([1, -1], "is no prompt"),
        ([1, True], "is no prompt"),
        ({"text": "a"}, "is no prompt"),
        ({"prompt": None}, "is no prompt"),
        ([{"role": "robot", "content": "a"}], "a turn needs a content and a role: system, user, assistant"),
        ([{"role": "user"}], "a turn needs a content"),
    ],
)
def test_a_line_that_is_no_prompt_is_named(file, value, said):
    with pytest.raises(SpecError) as caught:
        read(file("good", value), chat=True)
    assert "dialogues.jsonl:2" in str(caught.value)
    assert said in str(caught.value)


def test_a_conversation_needs_a_chat_model(file):
    with pytest.raises(SpecError, match=r"dialogues\.jsonl:1 is a conversation, which needs --is-chat-model"):
        read(file(TURNS))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(SpecError, match="absent cannot be read: No such file"):
        read(tmp_path / "absent")
    (tmp_path / "a").write_bytes(b"\xff\xff")
    with pytest.raises(SpecError, match="is not UTF-8"):
        read(tmp_path / "a")
    (tmp_path / "a").write_text('"good"\nbad\n')
    with pytest.raises(SpecError, match="a:2 is not JSON"):
        read(tmp_path / "a")


def test_no_prompt_at_all_is_refused(file):
    with pytest.raises(SpecError, match="there is no prompt: give --input-text TEXT or --input-file FILE"):
        read()
    with pytest.raises(SpecError, match="there is no prompt"):
        read(file())
