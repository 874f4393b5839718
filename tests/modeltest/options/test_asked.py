"""Keywords of Python, options of a shell and what type checkers are told: the same, held by introspection."""

from typing import Literal, get_args, get_type_hints

import click
import pytest

from modeltest.api import Case, SpecError
from modeltest.cli.root import root
from modeltest.library import keywords
from modeltest.library.evaluating import spec_of
from modeltest.options.asked import (
    COMMANDS,
    OptionKind,
    asked_by_words,
    keywords_of,
    kind_of,
    limits_by_keywords,
    words_of,
)
from modeltest.options.limits import limits_alone
from modeltest.run.pipes.deadlines import Limits

TYPED = {
    "accuracy": keywords.AccuracyKeywords,
    "performance": keywords.PerformanceKeywords,
    "maxbs": keywords.MaxbsKeywords,
    "precision": keywords.PrecisionKeywords,
    "lm-eval": keywords.LmEvalKeywords,
    "generate": keywords.GenerateKeywords,
    "accept": keywords.AcceptKeywords,
    "locate": keywords.LocateKeywords,
}

LEAST = {
    "accuracy": {"task": "boolq"},
    "performance": {"case": (8, 4)},
    "maxbs": {"case": (8, 4), "limit_ms": 20},
    "precision": {"case": (8, 4), "prompts": "[1,2]"},
    "lm-eval": {"tasks": "boolq"},
    "generate": {"input_text": "Hello"},
    "accept": {"pack": "x.ref"},
    "locate": {"reference": "/r"},
}
"""The keywords without which a command asks for nothing, beside the model."""

OF_EVALUATE = {"progress", "resume", "verbose"}
"""Keywords that are no options of what is asked, but parameters of `evaluate` itself."""

OF_THE_SHELL = {"dry_run", "how", "keep"}
"""The first prints; in Python `spec_of` returns what would be run. The others are of `locate`; in Python
`locate_by_bisection` is the other way, and takes `keep`."""

EACH_COMMAND = pytest.mark.parametrize("name", COMMANDS)


def option_names() -> list[tuple[str, str]]:
    return [(name, keyword) for name, command in COMMANDS.items() for keyword in keywords_of(command)]


def least(name: str) -> dict:
    return {"model": "none", "engine": "fake", **LEAST[name]}


@EACH_COMMAND
def test_every_option_of_a_command_is_a_keyword_and_every_keyword_an_option(name):
    command = root.get_command(click.Context(root), name)
    assert command is not None
    known = set(get_type_hints(TYPED[name]))
    words = {each.name for each in command.params if isinstance(each, click.Argument)}
    assert set(keywords_of(command)) - OF_EVALUATE - OF_THE_SHELL | words == known


@EACH_COMMAND
def test_what_a_command_requires_type_checkers_require_too(name):
    required = {keyword for keyword, option in keywords_of(COMMANDS[name]).items() if option.required}
    assert required == TYPED[name].__required_keys__


@pytest.mark.parametrize(("name", "keyword"), option_names())
def test_a_keyword_is_typed_as_its_option_takes_it(name, keyword):
    option = keywords_of(COMMANDS[name])[keyword]
    hint = get_type_hints(TYPED[name])[keyword]
    told = set(get_args(hint)) - {type(None)} or {hint}
    assert told & of_option(option), f"{option.opts[0]} takes one of {of_option(option)}"


def of_option(option: click.Option) -> set:
    """Return the types one of which the keyword of `option` must be."""
    kind = kind_of(option)
    if kind is OptionKind.FLAG:
        return {bool}
    if kind is OptionKind.PAIRS:
        return {tuple[int, int]}
    if isinstance(option.type, click.Choice):
        return set(get_args(Literal[tuple(option.type.choices)])) | {Literal[tuple(option.type.choices)]}
    if isinstance(option.type, click.IntRange):
        return {int}
    if isinstance(option.type, click.FloatRange):
        return {float}
    return {str}


@pytest.mark.parametrize(("name", "keyword"), option_names())
def test_a_keyword_left_out_means_the_default_of_the_option(name, keyword, monkeypatch):
    monkeypatch.delenv("MODELTEST_OUTPUT_DIR", raising=False)
    command = COMMANDS[name]
    default = keywords_of(command)[keyword].get_default(click.Context(command))
    plain = spec_of(name, **least(name))
    assert spec_of(name, **{keyword: None, **least(name)}) == plain
    if default not in (None, ()) and keyword not in least(name) and kind_of_value(default):
        assert spec_of(name, **{**least(name), keyword: default}) == plain


def kind_of_value(default: object) -> bool:
    """Say whether a default is a value; click has a mark for none."""
    return isinstance(default, (str, int, float, tuple))


def test_limits_are_those_of_the_commands():
    assert set(get_type_hints(keywords.LimitKeywords)) == set(keywords_of(limits_alone))
    assert limits_by_keywords({}) == Limits()
    assert limits_by_keywords({"batch_timeout": 7, "load_timeout": None}) == Limits(batch_s=7.0)
    with pytest.raises(SpecError, match=r"'--batch-timeout' .*: 0\.0 is not in the range"):
        limits_by_keywords({"batch_timeout": 0})


def test_a_spec_is_the_one_that_a_shell_asks_for():
    asked = spec_of(
        "performance",
        model="none",
        engine="fake",
        case=[(8, 4), "16,2"],
        batch_size=[1, 4],
        known_as="tiny",
        engine_option=["step_ms=2"],
        quick=True,
        chat=False,
    )
    shell = "--model none --engine fake --case 8,4 --case 16,2 --batch-size 1 --batch-size 4 --as tiny"
    assert asked == asked_by_words("performance", [*shell.split(), "--engine-option", "step_ms=2", "--quick"])
    assert asked.cases == (Case(8, 4), Case(16, 2))
    assert asked.batch_sizes == ((1, 4),)


def test_what_may_be_repeated_need_not_stand_in_a_list():
    one = spec_of("performance", model="none", engine="fake", case=(8, 4), batch_size=2)
    assert one == spec_of("performance", model="none", engine="fake", case=[(8, 4)], batch_size=[2])
    subject = spec_of(task="mmlu", model="none", engine="fake", subject="astronomy")
    assert subject.subjects == ("astronomy",)


@pytest.mark.parametrize(
    ("value", "word"),
    [(True, ["--fewshot-as-multiturn"]), (False, ["--fewshot-in-one-turn"]), (None, [])],
)
def test_an_option_of_three_states_has_them_in_python_too(value, word):
    assert words_of("lm-eval", {"fewshot_as_multiturn": value}) == word


def test_a_value_that_begins_with_a_dash_stays_a_value():
    assert spec_of(task="boolq", model="-w", engine="fake", seed=-3).seed == -3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limt": 5}, "accuracy has no option 'limt'; did you mean limit"),
        ({"zzz": 5}, "accuracy has no option 'zzz'; it has task, task_file, shots, split"),
        ({"limit": 0}, r"'--limit': 0 is not in the range"),
        ({"limit": 2.5}, r"'--limit': '2.5' is not a valid integer"),
        ({"limit": True}, "limit is a text or a number, not True"),
        ({"limit": [1, 2]}, r"limit is a text or a number, not \[1, 2\]"),
        ({"chat": 1}, "chat is True or False, not 1"),
        ({"dtype": "int3"}, "'int3' is not one of 'fp32', 'bf16', 'fp16'"),
        ({"task": None}, "give --task NAME, or --task-file FILE"),
        ({"model": None}, "Missing option '--model'"),
        ({"task": "boolk"}, "unknown task 'boolk'"),
    ],
)
def test_what_no_option_takes_is_an_error_that_says_so(options, message):
    with pytest.raises(SpecError, match=message):
        spec_of(**{"task": "boolq", "model": "none", "engine": "fake", **options})


def test_an_unknown_command_is_refused_with_those_that_are_known():
    with pytest.raises(SpecError, match="unknown command 'perf'; available: accuracy, performance"):
        spec_of("perf", model="none")
