"""The user's prompts: texts of the command line, and a file with one JSON value a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modeltest.api import ChatPrompt, GenerationOptions, Prompt, SpecError, TextPrompt, TokenPrompt, Turn
from modeltest.plain.contracts import to_plain
from modeltest.plain.json_text import JsonError, parse_json

EXPECTED = (
    'expected a text such as "hello", turns such as [{"role": "user", "content": "hello"}], token ids '
    'such as [1, 15043], or an object with one of these under "prompt"'
)
ROLES = ("system", "user", "assistant")


def read_prompts(options: GenerationOptions, *, chat: bool) -> list[Prompt]:
    """Return every prompt: first the texts, then the file's lines; a single one as often as `repeat` says.

    With `chat` a text is what the user says in a conversation.

    Raises: SpecError when there is none, or a line is no prompt.
    """
    values: list[tuple[str, object]] = [("--input-text", text) for text in options.input_texts]
    if options.input_file is not None:
        values += _lines(Path(options.input_file))
    prompts = [_prompt(value, where, chat=chat) for where, value in values]
    if not prompts:
        raise SpecError(f"there is no prompt: give --input-text TEXT or --input-file FILE ({EXPECTED})")
    if options.repeat > 1 and len(prompts) > 1:
        raise SpecError(
            f"--batch-size {options.repeat} asks one prompt that often, there are {len(prompts)} prompts; "
            "--max-batch-size says how many run together"
        )
    return prompts * options.repeat


def describe_prompt(prompt: Prompt) -> object:
    """Return a prompt as it would stand in a file."""
    if isinstance(prompt, TextPrompt):
        return prompt.text
    return list(prompt.ids) if isinstance(prompt, TokenPrompt) else to_plain(prompt.turns)


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not UTF-8") from None
    except OSError as problem:
        raise SpecError(f"{path} cannot be read: {problem.strerror or problem}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"{path}:{number}", parse_json(line)
            except JsonError as problem:
                raise SpecError(f"{path}:{number} is not JSON: {problem.reason}; {EXPECTED}") from None


def _prompt(value: object, where: str, *, chat: bool) -> Prompt:
    if isinstance(value, dict) and set(value) & {"prompt", "question", "messages"}:
        value = next(value[key] for key in ("prompt", "question", "messages") if key in value)
    if isinstance(value, str) and value:
        return ChatPrompt((), (), (Turn("user", value),)) if chat else TextPrompt("", (), value)
    if isinstance(value, list) and value:
        if all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in value):
            return TokenPrompt(tuple(value))
        if all(isinstance(each, dict) for each in value):
            return _conversation(value, where, chat=chat)
    raise SpecError(f"{where} is no prompt; {EXPECTED}")


def _conversation(turns: list[dict[str, object]], where: str, *, chat: bool) -> ChatPrompt:
    if not chat:
        raise SpecError(f"{where} is a conversation, which needs --is-chat-model")
    read = []
    for turn in turns:
        role, content = turn.get("role"), turn.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise SpecError(
                f"{where}: a turn needs a content and a role: {', '.join(ROLES)}; got {turn!r:.80}"
            )
        read.append(Turn(str(role), content))
    return ChatPrompt((), (), tuple(read))
