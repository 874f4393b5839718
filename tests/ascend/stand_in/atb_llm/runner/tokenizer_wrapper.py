"""The tokenizer as the library loads it: fast, padded and cut on the left."""

from typing import Any


def load_tokenizer(model_path: str, *, trust_remote_code: bool) -> Any:
    """Return the tokenizer of a checkpoint."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        model_path,
        use_fast=True,
        padding_side="left",
        truncation_side="left",
        trust_remote_code=trust_remote_code,
    )


def chat_input_ids(tokenizer: Any, turns: list[dict[str, str]]) -> list[int]:
    """Return the ids of a conversation, open for the next answer."""
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return list(tokenizer.encode(text, add_special_tokens=False))
