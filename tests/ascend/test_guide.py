"""The commands of docs/ascend.md that need chips run on the stand-in, from words to verdict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks, commands, section

GUIDE = ROOT / "docs" / "ascend.md"
SHORTER = {
    "full_BoolQ": "sample_BoolQ",
    "[[256,64],[1024,256]]": "[[16,4],[24,6]]",
    "[[256,64]]": "[[16,4]]",
    "[[1,64]]": "[[1,4]]",
}
"""The tiny model on the CPU gets shorter shapes, and the questions that come with ModelTest."""

STAND_IN = ("--engine-option", "stand_in=yes", "--quick", "--limit", "4")


def guide_commands() -> list[list[str]]:
    """Return the words of every command of the guide that runs a model on chips."""
    text = section(GUIDE, "From a container to the first results") + section(GUIDE, "Variables of a profile")
    shown = [command for block in blocks(GUIDE, "bash", text) for command in commands(block)]
    found = [list(command.words[2:]) for command in shown if command.words[:2] == ("bash", "run.sh")]
    return [words for words in found if words[0].startswith("pa_")]


@pytest.mark.slow
@pytest.mark.parametrize("words", guide_commands(), ids=lambda words: " ".join(words[1:2] + words[6:]))
def test_the_commands_of_the_guide_run_on_the_stand_in(words, demo_model, tmp_path):
    weights = str(demo_model("llama", "float16"))
    asked = [weights if word == "$weights" else SHORTER.get(word, word) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "modeltest", *asked, *STAND_IN],
        cwd=tmp_path,
        env={**os.environ, "TASK_QUEUE_ENABLE": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("pa_fp16: engine mindie_pa, run directory ")
    (directory,) = Path(tmp_path, "outputs").iterdir()
    result = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    assert (result["status"], result["adapter"]) == ("complete", "mindie_pa")
    is_kept = any(word.startswith("keep=") for word in words)
    told = [note for note in result["engine"]["notes"] if note.startswith("TASK_QUEUE_ENABLE=0 of the shell")]
    assert bool(told) is not is_kept


def test_the_guide_shows_accuracy_performance_and_max_batch():
    assert [words[1] for words in guide_commands()] == [
        *("full_BoolQ", "performance", "performance_maxbs"),
        "performance",
    ]
