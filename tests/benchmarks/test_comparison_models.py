from pathlib import Path

import pytest
from lm_eval_comparison import models
from lm_eval_comparison.commands import bridge_command, modeltest_command
from lm_eval_comparison.models import Models
from lm_eval_comparison.works import choose_jobs

MMLU, TEXTS = choose_jobs(("mmlu", "gsm8k"), ("smollm2",), ("bf16",), limit=2, rounds=1, quick=False)


def test_trained_checkpoints_are_taken_by_dtype_from_where_they_are(tmp_path: Path) -> None:
    given = Models(tmp_path, "data", trained_dir=tmp_path / "smol", say=print)
    with pytest.raises(FileNotFoundError, match=r"demo-model smollm2 .*/smol/bf16 --dtype bf16"):
        given.checkpoint(MMLU)
    (tmp_path / "smol/bf16").mkdir(parents=True)
    (tmp_path / "smol/bf16/config.json").touch()
    assert given.checkpoint(MMLU) == tmp_path / "smol/bf16"


def test_a_trained_checkpoint_that_is_absent_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[list[str]] = []

    def run(command: list[str], **_: object) -> None:
        typed.append(command)
        Path(command[-3]).mkdir()

    monkeypatch.setattr(models, "run_command", run)
    made = Models(tmp_path, "data", trained_dir=None, say=lambda line: None)
    assert made.checkpoint(MMLU) == made.checkpoint(TEXTS) == tmp_path / "models/smollm2-bf16"
    (command,) = typed
    assert command[-5:] == ["demo-model", "smollm2", str(tmp_path / "models/smollm2-bf16"), "--dtype", "bf16"]


def test_commands_ask_in_the_dtype_of_the_job() -> None:
    where = {"model": Path("m"), "batch_size": 8, "output": Path("o")}
    choices = " ".join(modeltest_command(MMLU, data_dir="d", **where))
    assert (
        "accuracy --task mmlu --shots 5 --protocol lm-eval --engine hf --dtype bf16 --device cpu" in choices
    )
    texts = " ".join(bridge_command(TEXTS, ["one", "two"], tasks_directory=Path("t"), **where))
    assert "lm-eval --tasks one,two --include-path t --log-samples --engine hf --dtype bf16" in texts


def test_random_weights_are_cast_to_what_they_are_not_made_in() -> None:
    def words(model: str, dtype: str) -> list[str]:
        (job,) = choose_jobs(("mmlu",), (model,), (dtype,), limit=2, rounds=1, quick=False)
        return modeltest_command(job, model=Path("m"), data_dir="d", batch_size=8, output=Path("o"))

    cast = [
        "--allow-dtype-cast" in words(model, dtype)
        for model in ("2M", "smollm2")
        for dtype in ("fp32", "bf16")
    ]
    assert cast == [False, True, False, False]
