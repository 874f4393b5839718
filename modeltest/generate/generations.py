"""`generations.jsonl`: one line per prompt, added as it is answered and put in order at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import Completion, Finish, GeneratedText, ModelTestError, Prompt, SpecError
from modeltest.generate.prompts import describe_prompt
from modeltest.machine.files import write_text
from modeltest.plain.contracts import from_plain
from modeltest.plain.json_text import parse_json

FILE_NAME = "generations.jsonl"
SHOWN = 200
"""Characters of prompt and text that the summary keeps."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What a line holds; `line_of` writes it."""

    index: int
    prompt: Any
    text: str | None
    prompt_tokens: int
    output_tokens: tuple[int, ...]
    finish: Finish | None
    cut_prompt_tokens: int
    error: str | None


def line_of(index: int, prompt: Prompt, completion: Completion) -> dict[str, Any]:
    """Return the line of a prompt and what came back."""
    return {
        "index": index,
        "prompt": describe_prompt(prompt),
        "text": completion.text,
        "prompt_tokens": len(completion.prompt_tokens),
        "output_tokens": list(completion.output_tokens),
        "finish": completion.finish.value if completion.finish else None,
        "cut_prompt_tokens": completion.cut_prompt_tokens,
        "error": completion.error,
    }


def append_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to the file, which then holds them whatever happens next."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def read_lines(path: Path) -> dict[int, dict[str, Any]]:
    """Return the lines by index; a torn last one is passed over, and of equal ones the last counts.

    Raises: ModelTestError naming a line that is none of this file.
    """
    try:
        *whole, _ = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as problem:
        raise ModelTestError(f"{path} cannot be read: {problem.strerror or problem}") from None
    found: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(whole, start=1):
        try:
            value = parse_json(line)
            index = from_plain(_Line, value).index
            if index < 0:
                raise ValueError(f"its index is {index}")
        except ValueError as problem:
            raise ModelTestError(
                f"{path}, line {number}: {problem}; bring the file back as the run left it, or generate again"
            ) from None
        found[index] = value
    return found


def put_in_order(path: Path) -> None:
    """Write the file anew, in the order of the prompts."""
    lines = read_lines(path)
    write_text(path, "".join(json.dumps(lines[index], ensure_ascii=False) + "\n" for index in sorted(lines)))


def refuse_other_prompts(
    path: Path, prompts: Sequence[Prompt], lines: Mapping[int, Mapping[str, Any]]
) -> None:
    """Refuse to go on with a file that holds answers to other prompts.

    Raises: SpecError.
    """
    for index, line in lines.items():
        if index >= len(prompts) or line["prompt"] != describe_prompt(prompts[index]):
            raise SpecError(f"{path} holds answers to other prompts: prompt {index} has changed")


def shortened(line: Mapping[str, Any]) -> GeneratedText:
    """Return a line as the summary has it."""
    prompt = (
        line["prompt"] if isinstance(line["prompt"], str) else json.dumps(line["prompt"], ensure_ascii=False)
    )
    text = line["text"]
    return GeneratedText(
        index=line["index"],
        prompt=prompt[:SHOWN],
        text=None if text is None else text[:SHOWN],
        prompt_tokens=line["prompt_tokens"],
        output_tokens=len(line["output_tokens"]),
        finish=None if line["finish"] is None else Finish(line["finish"]),
        cut_prompt_tokens=line["cut_prompt_tokens"],
        error=line["error"],
    )
