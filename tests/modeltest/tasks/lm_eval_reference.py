"""The task gsm8k of lm-evaluation-harness itself, over rows at hand: what ours is held against."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

SEED = 1234
"""With which its evaluator draws shots when it is told nothing."""

Row = Mapping[str, str]


def gsm8k_of_lm_eval(test: Sequence[Row], train: Sequence[Row]) -> Any:
    """Return the task as its YAML file has it, with `test` and `train` in the place of the hub's rows."""
    lm_eval = pytest.importorskip("lm_eval")
    yaml = pytest.importorskip("yaml")
    from lm_eval.api.task import ConfigurableTask

    from datasets import Dataset, DatasetDict

    file = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert config["metadata"]["version"] == 3.0
    del config["dataset_path"], config["dataset_name"]
    splits = {"test": Dataset.from_list(list(test)), "train": Dataset.from_list(list(train))}
    task = ConfigurableTask(config={**config, "custom_dataset": lambda **_: DatasetDict(splits)})
    task.set_fewshot_seed(seed=SEED)
    return task


def judged_by(task: Any) -> dict[str, Callable[[str, str], float]]:
    """Return by name of its filters what the task makes of a text and the answer of a row."""

    def judge(chain: Any) -> Callable[[str, str], float]:
        def score(text: str, answer: str) -> float:
            found: Any = [[text]]
            for step in chain.filters:
                found = step().apply(found, [{}])
            (result,) = list(found)
            (value,) = task.process_results({"question": "q", "answer": answer}, [result]).values()
            return float(value)

        return score

    return {chain.name: judge(chain) for chain in task._filters}
