"""Writes the checkpoint: a Llama with random weights and a tokenizer of made-up words.

A process of its own, `python -m fidelity.checkpoint MODEL DIRECTORY`: timing needs token ids alone, so the
tokenizer needs no dataset.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from lm_eval_comparison.checkpoints import write_weights
from lm_eval_comparison.shapes import CONTEXT_TOKENS, END_OF_TEXT, SHAPES, VOCABULARY_SIZE


def main(arguments: list[str]) -> None:
    """Write the model named first into the directory named second, complete or not at all."""
    shape, directory = SHAPES[arguments[0]], Path(arguments[1])
    draft = directory.with_name(f".{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _write_json(draft / "config.json", shape.config)
    write_tokenizer(draft)
    write_weights(shape, draft / "model.safetensors")
    draft.rename(directory)


def write_tokenizer(directory: Path) -> None:
    """Write a tokenizer whose words are w1, w2, ... with a blank between."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {END_OF_TEXT: 0, **{f"w{number}": number for number in range(1, VOCABULARY_SIZE)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=END_OF_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END_OF_TEXT])
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "model_max_length": CONTEXT_TOKENS,
        },
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
