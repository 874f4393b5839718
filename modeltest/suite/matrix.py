"""From a suite file to the runs it asks for: models x engines x tasks, and lists of values. Pure.

Options are those of the command line without their dashes. Of each run they come from `defaults`, then the
model, the engine, the task and every override that fits; what comes later counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice, product
from pathlib import PurePath

from modeltest.grammar.modes import did_you_mean
from modeltest.options.asked import OptionKind
from modeltest.suite.located_yaml import Located

SECTIONS = ("name", "defaults", "models", "engines", "tasks", "include", "exclude", "overrides")
MOST_RUNS = 10_000

COMMAND = "run"
"""What `exclude` and `when` call the command, beside its options."""

Options = dict[str, Located]
Resolve = Callable[[str], Sequence[str]]
"""Returns the checkpoints a text stands for; raises ValueError saying why there are none."""

BESIDE_THE_SUITE = ("task-file",)
"""Options whose paths are relative to the suite file: such files belong to it."""

Place = Callable[[str], str]
"""Returns a path as it is to be typed, of one that is relative to the suite file."""

Fill = Callable[[str], str]
"""Returns a text with its variables replaced; raises ValueError naming one that is not set."""


Catalogue = Mapping[str, Mapping[str, OptionKind]]
"""Of each command, its options by name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One run as a command line: `words` begin with the command."""

    words: tuple[str, ...]
    where: str
    """File and line of its task."""

    options: Mapping[str, Located] = field(default_factory=dict)
    """What the words were made of, by name."""

    def where_of(self, problem: str) -> str:
        """Return the file and line of the option that `problem` names or quotes; else those of the task."""
        for name, value in self.options.items():
            if f"'--{name}'" in problem:
                return value.where
        for value in self.options.values():
            items = value.value if isinstance(value.value, list) else [value]
            for item in items:
                if isinstance(item.value, str) and repr(item.value) in problem:
                    return item.where
        return self.where


@dataclass(frozen=True, slots=True)
class Matrix:
    """The runs of a file in its order, and what of the file fits none of them."""

    name: str | None
    runs: tuple[Asked, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Cell:
    command: str
    options: Options
    task: Located


def expand(
    document: Located, catalogue: Catalogue, *, resolve: Resolve, fill: Fill, place: Place = str
) -> Matrix:
    """Return the runs that `document` asks for.

    Raises: SpecError naming the line of what is wrong.
    """
    return _Expansion(document, catalogue, resolve, fill, place).matrix()


class _Expansion:
    def __init__(
        self, document: Located, catalogue: Catalogue, resolve: Resolve, fill: Fill, place: Place
    ) -> None:
        self._sections = document.mapping("a suite")
        for name, value in self._sections.items():
            if name not in SECTIONS:
                hint = did_you_mean(name, SECTIONS)
                raise value.error(f"unknown section {name!r}; available: {', '.join(SECTIONS)}{hint}")
        if not self._sections.keys() & {"tasks", "include"}:
            raise document.error("a suite needs `tasks`, or runs of its own under `include`")
        self._catalogue = catalogue
        self._known = sorted({name for options in catalogue.values() for name in options})
        self._resolve, self._fill, self._place = resolve, fill, place
        self._notes: list[str] = []

    def matrix(self) -> Matrix:
        name = self._sections.get("name")
        cells = self._few(each for cell in self._cells() for each in self._cells_of_lists(cell))
        cells = self._without_excluded(cells)
        overridden = (each for cell in cells for each in self._cells_of_lists(self._overridden(cell)))
        runs = [
            Asked((each.command, *self._words(each)), each.task.where, each.options)
            for each in self._few(overridden)
        ]
        return Matrix(name.text("name") if name else None, tuple(runs), tuple(self._notes))

    def _few(self, cells: Iterator[_Cell]) -> list[_Cell]:
        """Return `cells`, of which lists times lists may ask for more than can be counted."""
        found = list(islice(cells, MOST_RUNS + 1))
        if len(found) > MOST_RUNS:
            raise found[-1].task.error(
                f"with its lists, models and engines this comes to more than {MOST_RUNS:,} runs; "
                "ask for fewer, or make several suites of it"
            )
        return found

    def _cells(self) -> Iterator[_Cell]:
        defaults = self._layer(self._sections.get("defaults"), "defaults")
        for model, engine, task in product(
            self._axis("models", "model"), self._axis("engines", "engine"), self._items("tasks")
        ):
            command, options = self._task(task)
            for axis, of_axis in (("model", model), ("engine", engine)):
                if axis in options:
                    raise options[axis].error(
                        f"`{axis}` belongs to `{axis}s`; a run of its own goes under `include`"
                    )
                if axis not in of_axis:
                    raise task.error(f"`tasks` need `{axis}s`, and there is none")
            yield _Cell(command, {**defaults, **model, **engine, **options}, task)
        for task in self._items("include"):
            command, options = self._task(task)
            for model in self._models(options.get("model")):
                yield _Cell(command, {**defaults, **options, **model}, task)

    def _items(self, section: str) -> list[Located]:
        found = self._sections.get(section)
        return found.items(f"`{section}`") if found else []

    def _axis(self, section: str, option: str) -> list[Options]:
        """Return what each entry of `models` or `engines` says; an entry that is a text is that option."""
        layers: list[Options] = []
        for item in self._items(section):
            entry = (
                {option: item}
                if isinstance(item.value, str)
                else self._layer(item, f"an entry of `{section}`")
            )
            if option not in entry:
                raise item.error(f"an entry of `{section}` needs `{option}`")
            if option == "model":
                layers += [{**entry, **model} for model in self._models(entry[option])]
            else:
                layers.append(entry)
        return layers or [{}]

    def _models(self, model: Located | None) -> Iterator[Options]:
        if model is None:
            yield {}
            return
        for each in model.value if isinstance(model.value, list) else [model]:
            try:
                paths = self._resolve(self._filled(each).text("`model`"))
            except ValueError as problem:
                raise each.error(str(problem)) from None
            for path in paths:
                yield {"model": Located(path, each.where)}

    def _layer(self, layer: Located | None, what: str) -> Options:
        """Return options that some command has: others of the suite's commands may not have them."""
        if layer is None:
            return {}
        options = layer.mapping(what)
        for name, value in options.items():
            if name not in self._known:
                hint = did_you_mean(name, self._known)
                raise value.error(f"unknown option {name!r}{hint}; `modeltest COMMAND --help` has them")
        return options

    def _task(self, task: Located) -> tuple[str, Options]:
        """Return the command of an entry of `tasks` or `include`, and its own options."""
        entry = task.mapping("an entry of `tasks`")
        if len(entry) != 1:
            raise task.error(
                f"expected one command with options, such as `accuracy: {{task: boolq}}`, not {task.shown}"
            )
        ((command, given),) = entry.items()
        if command not in self._catalogue:
            hint = did_you_mean(command, self._catalogue)
            raise task.error(f"unknown command {command!r}; available: {', '.join(self._catalogue)}{hint}")
        options = given.mapping(f"the options of {command}") if given.value is not None else {}
        for name, value in options.items():
            if name not in self._catalogue[command]:
                hint = did_you_mean(name, self._catalogue[command])
                raise value.error(
                    f"{command} has no option {name!r}{hint}; `modeltest {command} --help` has them"
                )
        return command, options

    def _cells_of_lists(self, cell: _Cell) -> Iterator[_Cell]:
        """Yield a cell for each value of an option that takes one and was given a list."""
        kinds = self._catalogue[cell.command]
        options = {name: self._filled(value) for name, value in cell.options.items() if name in kinds}
        lists = [
            [(name, one) for one in value.value]
            for name, value in options.items()
            if isinstance(value.value, list) and kinds[name] in (OptionKind.ONE, OptionKind.FLAG)
        ]
        for values in product(*lists):
            yield _Cell(cell.command, {**options, **dict(values)}, cell.task)

    def _without_excluded(self, cells: list[_Cell]) -> list[_Cell]:
        for rule in self._items("exclude"):
            kept = [cell for cell in cells if not self._fits(cell, rule)]
            self._note_idle(rule, is_idle=len(kept) == len(cells))
            cells = kept
        return cells

    def _overridden(self, cell: _Cell) -> _Cell:
        options = cell.options
        for rule in self._items("overrides"):
            entry = rule.mapping("an entry of `overrides`")
            if set(entry) != {"when", "set"}:
                raise rule.error("an entry of `overrides` has `when` and `set`, and nothing else")
            if self._fits(cell, entry["when"]):
                options = {**options, **self._layer(entry["set"], "`set`")}
        return _Cell(cell.command, options, cell.task)

    def _fits(self, cell: _Cell, rule: Located) -> bool:
        wanted = rule.mapping("what a run must fit")
        if not wanted:
            raise rule.error("this would fit every run; name an option")
        for name, value in wanted.items():
            if name != COMMAND and name not in self._known:
                hint = did_you_mean(name, (COMMAND, *self._known))
                raise value.error(f"unknown option {name!r}{hint}; `{COMMAND}` is the command")
        return all(self._has(cell, name, value) for name, value in wanted.items())

    def _has(self, cell: _Cell, name: str, pattern: Located) -> bool:
        if name == COMMAND:
            found = [cell.command]
        elif name in cell.options:
            value = cell.options[name].plain
            found = [str(value)]
            if name == "model":
                found.append(PurePath(str(value)).name)
        else:
            return False
        patterns = pattern.plain if isinstance(pattern.value, list) else [pattern.plain]
        return any(fnmatchcase(text, str(each)) for text in found for each in patterns)

    def _note_idle(self, rule: Located, *, is_idle: bool) -> None:
        if is_idle:
            self._notes.append(f"{rule.where}: fits no run: {rule.shown}")

    def _filled(self, value: Located) -> Located:
        """Return `value` with the variables in its texts replaced."""
        if isinstance(value.value, list):
            return Located([self._filled(item) for item in value.value], value.where)
        if not isinstance(value.value, str):
            return value
        try:
            return Located(self._fill(value.value), value.where)
        except ValueError as problem:
            raise value.error(str(problem)) from None

    def _words(self, cell: _Cell) -> Iterator[str]:
        for name, value in cell.options.items():
            is_beside = name in BESIDE_THE_SUITE and isinstance(value.value, str)
            typed = Located(self._place(value.value), value.where) if is_beside else value
            yield from _words_of(name, typed, self._catalogue[cell.command][name])


def _words_of(name: str, value: Located, kind: OptionKind) -> Iterator[str]:
    """Yield an option as words; `null` leaves it to its default."""
    if value.value is None:
        return
    if kind is OptionKind.FLAG:
        if not isinstance(value.value, bool):
            raise value.error(f"`{name}` is true or false, not {value.shown}")
        if value.value:
            yield f"--{name}"
        return
    if kind is OptionKind.PAIRS:
        for pair in _pairs(name, value):
            yield f"--{name}={','.join(str(number) for number in pair)}"
        return
    for item in value.value if isinstance(value.value, list) else [value]:
        if isinstance(item.value, (list, dict, bool)) or item.value is None:
            raise item.error(f"`{name}` is a text or a number, not {item.shown}")
        yield f"--{name}={item.value}"


def _pairs(name: str, value: Located) -> Sequence[Sequence[object]]:
    plain = value.plain
    pairs = plain if isinstance(plain, list) and plain and isinstance(plain[0], list) else [plain]
    for pair in pairs:
        is_pair = isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair)
        if not is_pair:
            raise value.error(
                f"`{name}` is two numbers such as [256, 64], or a list of such pairs, not {value.shown}"
            )
    return pairs
