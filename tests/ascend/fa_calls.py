"""What tests have FARunner do in a process of its own."""

import os
from pathlib import Path
from typing import Any

TEXT = "The sea is salt. Why is it?"


def runner_of(model: Any, *, output_tokens: int = 4) -> Any:
    """Return a FARunner for two rows that no code of ours stands before."""
    from examples.run_fa import FARunner

    return FARunner(
        rank=0,
        local_rank=0,
        world_size=1,
        model_path=model.path,
        max_input_length=48,
        max_output_length=output_tokens,
        batch_size=2,
    )


def text_and_ids(spec: Any, model: Any) -> tuple[list[str], list[str], int, int]:
    """Return the answers to a text and to its ids, padded on the left as ours are, and what was counted."""
    import torch

    runner = runner_of(model)
    texts, counted, _ = runner.infer(TEXT)
    ids = runner.tokenizer(TEXT)["input_ids"]
    padded = torch.full((2, 48), int(runner.model.postprocessor.pad_token_id or 0), dtype=torch.long)
    mask = torch.zeros_like(padded)
    padded[:, 48 - len(ids) :] = torch.tensor(ids)
    mask[:, 48 - len(ids) :] = 1
    of_ids, of_ids_counted, _ = runner.infer(padded.to(runner.device), mask.to(runner.device))
    return texts, of_ids, counted, of_ids_counted


def generated(spec: Any, model: Any) -> list[int]:
    """Return how many tokens each pass over the model was asked for."""
    runner = runner_of(model)
    asked, generate = [], runner.model.generate

    def counting(*arguments: Any, **named: Any) -> Any:
        tokens = generate(*arguments, **named)
        asked.append(tokens.shape[1] - 48)
        return tokens

    runner.model.generate = counting
    runner.infer(TEXT)
    return asked


def files_written(spec: Any, model: Any) -> list[str]:
    """Return what an answer leaves in the folder that MindIE was told to write to."""
    runner_of(model).infer(TEXT)
    return [path.name for path in Path(os.environ["ATB_LLM_LOGITS_SAVE_FOLDER"]).iterdir()]


def single_token(spec: Any, model: Any) -> None:
    """Ask for one token."""
    runner_of(model, output_tokens=1).infer(TEXT)
