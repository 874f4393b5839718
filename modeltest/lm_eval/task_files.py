"""Task files that do not come with lm-evaluation-harness, and the code that they name.

A task file can name functions (`!function module.name`), in Python files beside it or wherever Python finds
them, metrics that are programs of their own, and datasets that bring a loading script. All of it would run.
So it is found by reading alone, in the way the harness reads, before any of it is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modeltest.api import LmEvalOptions, SpecError

SUFFIXES = (".yaml", ".yml")
"""What the name of a task file ends in; a word of `--tasks` with another end is the name of a task."""


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """What was found; none of the paths is in the package of the harness."""

    files: tuple[Path, ...]
    """The task files, with those that they include."""

    code: tuple[Path, ...]
    """The Python files that are named, with those beside them, which they can import."""

    elsewhere: Mapping[str, Path | None]
    """In words, the code that is named and does not lie beside a task file, such as `function os.system`, and
    the file it is in, where it is known."""

    @property
    def name_code(self) -> bool:
        """Say whether anything would run that the files name."""
        return bool(self.code or self.elsewhere)


NONE = TaskFiles((), (), {})


def task_files(options: LmEvalOptions) -> TaskFiles:
    """Return the task files that are asked for by path or lie in `include_path`, and the code they name.

    Raises: SpecError for a task file named by its path that cannot be read.
    """
    package = _package()
    if package is None:
        return NONE  # nothing would run
    found = _Found(package)
    for word in options.tasks:
        if word.endswith(SUFFIXES) and Path(word).is_file():  # another is refused when tasks are loaded
            found.take(Path(word))
    for path in _below(options.include_path):
        try:
            found.take(path)
        except SpecError:
            continue  # nor does the harness take it
    return TaskFiles(tuple(sorted(found.files)), tuple(sorted(found.code)), found.elsewhere)


@dataclass(slots=True)
class _Found:
    package: Path
    files: set[Path] = field(default_factory=set)
    code: set[Path] = field(default_factory=set)
    elsewhere: dict[str, Path | None] = field(default_factory=dict)

    def take(self, path: Path) -> None:
        """Add what the file at `path` and those that it includes name.

        Raises: SpecError when one of them cannot be read.
        """
        path = path.expanduser().resolve()
        if path in self.files or path.is_relative_to(self.package):
            return
        config, functions = _read(path)
        self.files.add(path)
        for function in functions:
            self._take_function(function, path.parent)
        self.elsewhere.update(_named_otherwise(config))
        for included in _includes(config):
            self.take(path.parent / included)

    def _take_function(self, function: str, folder: Path) -> None:
        module = function.rpartition(".")[0]
        beside = (folder / f"{module.replace('.', '/')}.py").resolve()
        if module and beside.is_file():
            self.code.update(each.resolve() for each in beside.parent.glob("*.py") if each.is_file())
        else:
            self.elsewhere[f"function {function}"] = _file_of(module)


def _file_of(module: str) -> Path | None:
    """Return the file in which Python would find a module; nothing is imported, so no package is asked."""
    places: Sequence[str] | None = None
    spec = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.is_file() else None


def _package() -> Path | None:
    """Return the folder of the harness; `None` where it is not installed."""
    spec = find_spec("lm_eval")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))).resolve() if places else None


def _below(include_path: str | None) -> list[Path]:
    return [] if include_path is None else sorted(Path(include_path).glob("**/*.yaml"))


def _read(path: Path) -> tuple[dict[Any, Any], list[str]]:
    """Return what a task file says, with every function by its name alone, and these names.

    Raises: SpecError when it is no task file.
    """
    import yaml

    functions: list[str] = []

    # As the harness: its C loader where there is one. Whatever has a tag of its own is code.
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    def construct(loader: Any, _: str, node: Any) -> object:
        if isinstance(node, yaml.ScalarNode):
            functions.append(node.value if node.tag == "!function" else f"{node.tag} {node.value}".strip())
            return node.value
        functions.append(node.tag)
        is_mapping = isinstance(node, yaml.MappingNode)
        return (loader.construct_mapping if is_mapping else loader.construct_sequence)(node, deep=True)

    yaml.add_multi_constructor("", construct, Loader=Loader)
    try:
        config = yaml.load(path.read_bytes(), Loader=Loader)
    except OSError as problem:
        raise SpecError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as problem:
        raise SpecError(f"{path} is no task file: {' '.join(str(problem).split()):.200}") from None
    if not isinstance(config, dict):
        raise SpecError(f"{path} is no task file: it holds no fields")
    return config, functions


def _includes(config: dict[Any, Any]) -> list[str]:
    includes = config.get("include", [])
    return [
        each for each in (includes if isinstance(includes, list) else [includes]) if isinstance(each, str)
    ]


def _named_otherwise(config: object) -> Iterator[tuple[str, Path | None]]:
    """Yield, in words, the code that a task file names without a function, and its file."""
    for fields in _mappings(config):
        metric = fields.get("metric")
        if isinstance(metric, str) and _is_program(metric):
            yield f"metric {metric}", _file_of_metric(metric)
        if fields.get("trust_remote_code"):
            yield "the loading script of a dataset (trust_remote_code)", None


def _is_program(metric: str) -> bool:
    """Say whether the package `evaluate` would load a metric from a file or from somebody's repository.

    A plain name is one of the harness, or of the collection that belongs to the package.
    """
    return "/" in metric or metric.endswith(".py") or _file_of_metric(metric) is not None


def _file_of_metric(metric: str) -> Path | None:
    path = Path(metric)
    path = path if path.suffix == ".py" else path / f"{path.name}.py"
    return path if path.is_file() else None


def _mappings(config: object) -> Iterator[dict[Any, Any]]:
    """Yield every mapping in `config`, once."""
    left, seen = [config], set()
    while left:
        value = left.pop()
        if id(value) in seen or not isinstance(value, (dict, list)):
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield value
        left += value.values() if isinstance(value, dict) else value
