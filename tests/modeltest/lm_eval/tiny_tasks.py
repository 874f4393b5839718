"""Tasks of lm-evaluation-harness that fit in a test: YAML files and their rows, written on the spot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHOICES = ["salt", "the sea", "a long way home", "yes"]
CHOICE_ROWS = [
    {"question": f"Which of the words is number {i}?", "choices": CHOICES[: 3 + i % 2], "gold": i % 3}
    for i in range(8)
]
TEXT_ROWS = [{"text": "The sea is salt and wide. " * (1 + 3 * i) + f"End {i}."} for i in range(4)]
SUM_ROWS = [{"question": f"Say {i} plus {i}.", "answer": str(2 * i)} for i in range(5)]

TASKS = ("tiny_choice", "tiny_perplexity", "tiny_generation")

_COMMON = """\
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
metadata: {{version: 1.0}}
"""
_CHOICE = """\
task: tiny_choice
output_type: multiple_choice
fewshot_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
_PERPLEXITY = """\
task: tiny_perplexity
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
"""
_GENERATION = """\
task: tiny_generation
output_type: generate_until
doc_to_text: "{{question}}\\nAnswer:"
doc_to_target: answer
generation_kwargs: {until: ["\\n\\n", "Q"], max_gen_toks: 12, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
_GROUP = """\
group: tiny_group
task: [tiny_choice, tiny_generation]
metadata: {version: 2.0}
"""


def write_tasks(folder: Path) -> Path:
    """Write the three tasks, a group of two of them and their rows into `folder`, and return it."""
    for name, body, rows in (
        ("choice", _CHOICE, CHOICE_ROWS),
        ("perplexity", _PERPLEXITY, TEXT_ROWS),
        ("generation", _GENERATION, SUM_ROWS),
    ):
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        common = _COMMON.format(data=data, cache=folder / "cache")
        (folder / f"{name}.yaml").write_text(body + common, encoding="utf-8")
    (folder / "group.yaml").write_text(_GROUP, encoding="utf-8")
    return folder


def answers(samples: Sequence[dict[str, Any]]) -> list[Any]:
    """Return what a model answered to every request of the logged samples of one task."""
    return [answer for sample in samples for (answer,) in sample["resps"]]
