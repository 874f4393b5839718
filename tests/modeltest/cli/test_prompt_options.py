import json

import pytest
from click.testing import CliRunner

from modeltest.api import SpecError
from modeltest.cli.root import root

MODEL = ["--engine", "fake", "--model", "none", "--profile", "llama"]
CASE = ["--case", "8,4", "--batch-size", "2"]


def spec_of(*arguments):
    result = CliRunner().invoke(root, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["performance", *CASE, "--dataset", "boolq"], ["performance", "[[8,4]]", "2", "dataset", "boolq"]),
        (
            ["performance", *CASE, "--dataset", "gsm8k", "--padding", "--batches", "20"],
            ["performance", "[[8,4]]", "2", "dataset", "gsm8k", "padding", "20"],
        ),
        (
            ["performance", *CASE, "--dataset", "customize", "--batches", "INF"],
            ["performance", "[[8,4]]", "2", "dataset", "customize", "INF"],
        ),
        (
            ["performance", *CASE, "--prompts", "[1,2,3]"],
            ["performance_single", "[[8,4]]", "[1,2,3]", "2"],
        ),
        (
            ["performance", *CASE, "--prompt-ids", "ids.txt"],
            ["performance_single", "[[8,4]]", "ids.txt", "2"],
        ),
        (
            ["precision", *CASE, "--prompts", '["hello"]'],
            ["precision_single", "[[8,4]]", '["hello"]', "2"],
        ),
    ],
)
def test_options_and_words_give_the_same_spec(options, words):
    assert spec_of(*options, *MODEL) == spec_of("fake", *words, "llama", "none", "1")
    with_chat = spec_of("fake", *words, "llama", "chat", "none", "1")
    assert spec_of(*options, "--chat", *MODEL) == with_chat


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--padding"], "are about the rows of a dataset; give --dataset too"),
        (["--batches", "3"], "give --dataset too"),
        (["--dataset", "boolq", "--prompts", "[1]"], "both say what the prompts are"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(SpecError, match=message):
        root.main(["performance", *CASE, *options, *MODEL], standalone_mode=False)


@pytest.mark.parametrize("text", ["0", "-1", "x", "inf", ""])
def test_a_number_of_batches_is_positive_or_inf(text):
    result = CliRunner().invoke(root, ["performance", *CASE, "--dataset", "boolq", "--batches", text, *MODEL])
    assert result.exit_code == 2
    assert "or INF for all" in result.output


def test_log_probabilities_are_an_option_and_no_word():
    arguments = ["precision", *CASE, "--prompts", "[1]", *MODEL]
    assert spec_of(*arguments)["options"]["logprobs"] is False
    assert spec_of(*arguments, "--logprobs")["options"]["logprobs"] is True


def test_a_precision_run_without_prompts_is_refused():
    with pytest.raises(SpecError, match="precision_single needs prompts"):
        root.main(["precision", *CASE, *MODEL], standalone_mode=False)
