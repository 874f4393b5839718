"""Writes the checkpoints: random weights whose answers vary, and a tokenizer trained on the data itself.

A process of its own, `python -m lm_eval_comparison.checkpoints MODEL DIRECTORY DATA_DIR`: training takes
memory, and a process that measures others should take none of the machine.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_comparison.shapes import (
    ANSWERS,
    CONTEXT_TOKENS,
    END_OF_TEXT,
    SEED,
    SHAPES,
    VOCABULARY_SIZE,
    Shape,
)

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

DATASETS = ("boolq", "ceval", "mmlu")
"""Whose text the tokenizer is trained on."""

EMBEDDING_SD = 0.08
"""Logits are a normed row times the embeddings: this spreads them by 1.3 to 1.9."""

GAINS = {"self_attn.q_proj": 1.5, "self_attn.k_proj": 1.5}
"""Sharper attention, so that what a question says reaches its last position."""


def main(arguments: list[str]) -> None:
    """Write the model named first into the directory named second."""
    texts = dataset_texts(arguments[2])
    write_checkpoint(arguments[0], Path(arguments[1]), lambda directory: write_tokenizer(directory, texts))


def write_checkpoint(name: str, directory: Path, write_tokenizer: Callable[[Path], None]) -> None:
    """Write the model `name` into `directory`, complete or not at all."""
    shape = SHAPES[name]
    draft = directory.with_name(f".{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _write_json(draft / "config.json", shape.config)
    write_tokenizer(draft)
    write_weights(shape, draft / "model.safetensors")
    draft.rename(directory)


def dataset_texts(data_dir: str | None) -> Iterator[str]:
    """Yield every text of every row of the datasets, shots included; with no folder, of the samples."""
    from modeltest.data.load import load_dataset
    from modeltest.data.loaded import FULL, SAMPLE

    split = SAMPLE if data_dir is None else FULL
    for name in DATASETS:
        loaded = load_dataset(name, split, data_dir=data_dir, shots_needed=True).data
        for records in (loaded.records, *loaded.shots.values()):
            for record in records:
                yield "\n".join(record.fields.values())


def write_tokenizer(directory: Path, texts: Iterator[str]) -> None:
    """Train a byte-level BPE tokenizer on `texts` and write it.

    Raises: ValueError when an answer is more than one token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    for answer in ANSWERS:
        if len(tokenizer.encode(answer).ids) != 1:
            raise ValueError(f"{answer!r} became several tokens; train on more text")
    save_tokenizer(tokenizer, directory)


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write `tokenizer` as transformers reads it."""
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "model_max_length": CONTEXT_TOKENS,
            "clean_up_tokenization_spaces": False,
        },
    )


def write_weights(shape: Shape, path: Path) -> None:
    """Write seeded float32 weights as one safetensors file."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(SEED)

    def draw(rows: int, columns: int, sd: float) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) * sd

    weights = {"model.embed_tokens.weight": draw(VOCABULARY_SIZE, shape.hidden, EMBEDDING_SD)}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        for name, (rows, columns) in shape.layer_matrices.items():
            sd = GAINS.get(name, 1.0) / math.sqrt(columns)
            weights[f"{prefix}.{name}.weight"] = draw(rows, columns, sd)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}.{norm}.weight"] = torch.ones(shape.hidden)
    weights["model.norm.weight"] = torch.ones(shape.hidden)
    save_file(weights, path, metadata={"format": "pt"})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
