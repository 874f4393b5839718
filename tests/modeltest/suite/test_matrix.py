import pytest

from modeltest.api import SpecError
from modeltest.suite.located_yaml import read_yaml
from modeltest.suite.matrix import OptionKind, expand

pytest.importorskip("yaml")

CATALOGUE = {
    "accuracy": {
        "model": OptionKind.ONE,
        "engine": OptionKind.ONE,
        "task": OptionKind.ONE,
        "shots": OptionKind.ONE,
        "limit": OptionKind.ONE,
        "chat": OptionKind.FLAG,
        "subject": OptionKind.MANY,
    },
    "performance": {
        "model": OptionKind.ONE,
        "engine": OptionKind.ONE,
        "case": OptionKind.PAIRS,
        "batch-size": OptionKind.MANY,
        "quick": OptionKind.FLAG,
    },
}
MODELS = {"m*": ["m1", "m2"]}


def resolve(text):
    if text == "nowhere*":
        raise ValueError("fits no folder")
    return MODELS.get(text, [text])


def fill(text):
    if "${GONE}" in text:
        raise ValueError("the variable GONE is not set")
    return text.replace("${W}", "w")


@pytest.fixture
def runs(tmp_path):
    """Return a function from the text of a suite to its runs, each one line of words."""

    def of(text):
        return [" ".join(run.words) for run in matrix_of(tmp_path, text).runs]

    return of


def matrix_of(folder, text):
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return expand(read_yaml(path), CATALOGUE, resolve=resolve, fill=fill)


def refusal(folder, text):
    with pytest.raises(SpecError) as caught:
        matrix_of(folder, text)
    return str(caught.value).removeprefix(str(folder / "suite.yaml"))


def test_models_times_engines_times_tasks(runs):
    found = runs("models: [a, b]\nengines: [x, y]\ntasks:\n  - accuracy: {task: t}\n")
    assert found == [
        "accuracy --model=a --engine=x --task=t",
        "accuracy --model=a --engine=y --task=t",
        "accuracy --model=b --engine=x --task=t",
        "accuracy --model=b --engine=y --task=t",
    ]


def test_a_list_for_an_option_that_takes_one_value_is_as_many_runs(runs):
    found = runs("models: [a]\nengines: [x]\ntasks:\n  - accuracy: {task: [t, u], shots: [0, 5]}\n")
    assert [run.split("--task=")[1] for run in found] == [
        "t --shots=0",
        "t --shots=5",
        "u --shots=0",
        "u --shots=5",
    ]


def test_a_list_for_an_option_that_takes_many_is_one_run(runs):
    (found,) = runs(
        "models: [a]\nengines: [x]\n"
        "tasks:\n  - performance: {case: [[64, 16], [8, 4]], batch-size: [1, 4], quick: true}\n"
    )
    words = "--case=64,16 --case=8,4 --batch-size=1 --batch-size=4 --quick"
    assert found == f"performance --model=a --engine=x {words}"


def test_one_pair_needs_no_list_around_it(runs):
    (found,) = runs("include:\n  - performance: {case: [64, 16]}\n")
    assert found == "performance --case=64,16"


def test_what_is_said_later_counts(runs):
    (found,) = runs(
        "defaults: {limit: 1, shots: 9}\n"
        "models:\n  - {model: a, limit: 2}\n"
        "engines:\n  - {engine: x, limit: 3}\n"
        "tasks:\n  - accuracy: {task: t, shots: 5}\n"
    )
    assert sorted(found.split()[1:]) == ["--engine=x", "--limit=3", "--model=a", "--shots=5", "--task=t"]


def test_defaults_that_a_command_does_not_have_are_not_given_to_it(runs):
    (found,) = runs("defaults: {shots: 5}\ninclude:\n  - performance: {case: [8, 4]}\n")
    assert found == "performance --case=8,4"


def test_null_takes_a_default_back(runs):
    (found,) = runs("defaults: {limit: 5}\ninclude:\n  - accuracy: {task: t, limit: null}\n")
    assert found == "accuracy --task=t"


def test_an_override_changes_the_runs_it_fits(runs):
    found = runs(
        "models: [/w/gemma, /w/llama]\nengines: [x]\ntasks:\n  - accuracy: {task: t}\n"
        "overrides:\n  - when: {model: gem*, run: accuracy}\n    set: {shots: [0, 5]}\n"
    )
    assert [run.partition("--task=t")[2] for run in found] == [" --shots=0", " --shots=5", ""]


def test_excluded_cells_are_left_out_and_an_idle_rule_is_told(tmp_path):
    matrix = matrix_of(
        tmp_path,
        "models: [a, b]\nengines: [x, y]\ntasks:\n  - accuracy: {task: [t, u]}\n"
        "exclude:\n  - {model: a, engine: x}\n  - {task: [u], engine: y}\n  - {model: zebra}\n",
    )
    assert [" ".join(run.words[1:]) for run in matrix.runs] == [
        "--model=a --engine=y --task=t",
        "--model=b --engine=x --task=t",
        "--model=b --engine=x --task=u",
        "--model=b --engine=y --task=t",
    ]
    assert matrix.notes == (f"{tmp_path / 'suite.yaml'}, line 8: fits no run: {{'model': 'zebra'}}",)


def test_patterns_and_variables_stand_for_checkpoints(runs):
    found = runs("models: ['m*', '${W}/x']\nengines: [x]\ntasks:\n  - accuracy: {task: t}\n")
    assert [run.split()[1] for run in found] == ["--model=m1", "--model=m2", "--model=w/x"]


def test_runs_of_their_own_need_no_axes(runs):
    assert runs("include:\n  - accuracy: {model: 'm*', engine: x, task: t}\n") == [
        "accuracy --model=m1 --engine=x --task=t",
        "accuracy --model=m2 --engine=x --task=t",
    ]


def test_anchors_share_options(runs):
    (found,) = runs(
        "defaults: &shared {limit: 3, shots: 1}\ninclude:\n  - accuracy: {<<: *shared, shots: 2, task: t}\n"
    )
    assert "--limit=3 --shots=2" in found


AXES = "models: [a]\nengines: [x]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: [a]\n", ", line 1: unknown section 'model'"),
        (AXES, ", line 1: a suite needs `tasks`"),
        ("[1]\n", ", line 1: a suite must be a mapping"),
        (AXES + "tasks: {}\n", ", line 3: `tasks` must be a list, not {}"),
        (
            AXES + "tasks:\n  - accuracy: {tsk: t}\n",
            ", line 4: accuracy has no option 'tsk'; did you mean",
        ),
        (AXES + "tasks:\n  - acuracy: {task: t}\n", ", line 4: unknown command 'acuracy'"),
        (AXES + "tasks:\n  - accuracy: {model: b}\n", ", line 4: `model` belongs to `models`"),
        (AXES + "tasks:\n  - accuracy: {chat: maybe}\n", ", line 4: `chat` is true or false, not 'maybe'"),
        (
            AXES + "tasks:\n  - performance: {case: [8]}\n",
            ", line 4: `case` is two numbers such as",
        ),
        (AXES + "tasks:\n  - accuracy: {task: {a: 1}}\n", ", line 4: `task` is a text or a number"),
        (AXES + "tasks:\n  - {accuracy: {}, performance: {}}\n", ", line 4: expected one command"),
        (AXES + "tasks:\n  - accuracy: {task: a, task: b}\n", ", line 4: 'task' is given twice"),
        ("models: [nowhere*]\nengines: [x]\ntasks:\n  - accuracy: {}\n", ", line 1: fits no folder"),
        (AXES + "tasks:\n  - accuracy: {task: '${GONE}'}\n", ", line 4: the variable GONE is not set"),
        ("tasks:\n  - accuracy: {}\n", ", line 2: `tasks` need `models`"),
        (AXES + "tasks: [{accuracy: {}}]\nexclude: [{tsk: a}]\n", ", line 4: unknown option 'tsk'"),
        (
            AXES + "tasks: [{accuracy: {}}]\noverrides: [{when: {}}]\n",
            ", line 4: an entry of `overrides`",
        ),
        ("defaults: {nonsense: 1}\ninclude: [{accuracy: {}}]\n", ", line 1: unknown option 'nonsense'"),
        ("modls:\n  - a\n  - b\n", ", line 1: unknown section 'modls'"),
        (AXES + "tasks:\n  - accuracy:\n      tsk:\n        - t\n", ", line 5: accuracy has no option 'tsk'"),
        ("a: [\n", ", line 2: not YAML: "),
        ("a: 1\nb: \x07\n", ", line 2: not YAML: the character U+0007"),
        ("", " is empty"),
        ("1: 2\n", ", line 1: the name 1 must be a text"),
        ("a: &x [*x]\n", ", line 1: these values hold themselves"),
    ],
)
def test_an_error_names_the_line_and_the_key(tmp_path, text, expected):
    assert refusal(tmp_path, text).startswith(expected)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
