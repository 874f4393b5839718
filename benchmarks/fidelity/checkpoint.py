"""Writes the checkpoint: a Llama with random weights and a tokenizer of made-up words.

A process of its own, `python -m fidelity.checkpoint MODEL DIRECTORY`: timing needs token ids alone, so the
tokenizer needs no dataset.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lm_eval_comparison.checkpoints import save_tokenizer, write_checkpoint
from lm_eval_comparison.shapes import END_OF_TEXT, VOCABULARY_SIZE


def main(arguments: list[str]) -> None:
    """Write the model named first into the directory named second."""
    write_checkpoint(arguments[0], Path(arguments[1]), write_tokenizer)


def write_tokenizer(directory: Path) -> None:
    """Write a tokenizer whose words are w1, w2, ... with a blank between."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {END_OF_TEXT: 0, **{f"w{number}": number for number in range(1, VOCABULARY_SIZE)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=END_OF_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END_OF_TEXT])
    save_tokenizer(tokenizer, directory)


if __name__ == "__main__":
    main(sys.argv[1:])
