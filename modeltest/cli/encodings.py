"""What words, variables and paths must be: text that every file can hold.

Python hands on bytes that are no text as halves of characters, which files and tokenizers refuse later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from modeltest.api import PrerequisiteError, SpecError

_UTF8_MODE = "PYTHONUTF8"
_OURS = "MODELTEST_"


def leave_ascii() -> None:
    """Begin this process again in Python's UTF-8 mode where it was told that paths are ASCII.

    Python does so itself in the locale C unless it is forbidden to. Without it, no path with an umlaut or a
    Chinese character can be given or named.
    """
    if sys.getfilesystemencoding() not in ("ascii", "us-ascii") or sys.flags.utf8_mode:
        return
    # The variable for the processes to come; the option for this one, which may ignore variables (-I).
    os.environ[_UTF8_MODE] = "1"
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def refuse_undecodable(words: Sequence[str], variables: Mapping[str, str]) -> None:
    """Refuse words, variables of ours and a current directory that are no text.

    Raises: SpecError; PrerequisiteError when there is no current directory.
    """
    for what, text in _given(words, variables):
        if not _is_text(text):
            raise SpecError(
                f"{what} {ascii(text)[:200]} holds bytes that are no text in {sys.getfilesystemencoding()}; "
                "rename that file or folder, or set the locale its name was made in"
            )


def _given(words: Sequence[str], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for word in words:
        yield "the word", word
    for name, value in variables.items():
        if name.startswith(_OURS):
            yield f"the variable {name}", value
    try:
        yield "the current directory", os.getcwd()  # noqa: PTH109
    except OSError as problem:
        raise PrerequisiteError(
            f"the current directory cannot be used: {problem.strerror}; change into one that exists"
        ) from problem


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
