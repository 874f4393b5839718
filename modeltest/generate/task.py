"""`generate` as a task: the user's prompts through the same worker as every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from modeltest.api import (
    Capability,
    Completion,
    Engine,
    EngineInfo,
    Evaluation,
    GenerationOptions,
    GenerationSummary,
    Mode,
    Prompt,
    Request,
    RunSpec,
    SpecError,
    Tell,
)
from modeltest.generate.generations import (
    FILE_NAME,
    append_lines,
    line_of,
    put_in_order,
    read_lines,
    refuse_other_prompts,
    shortened,
)
from modeltest.generate.prompts import read_prompts
from modeltest.machine.files import write_json
from modeltest.plain.json_text import parse_json

COUNT_FILE = "prompts.json"
"""How many prompts the run has: without it, a whole file could not be told from the first part of one."""


class Generate:
    """Asks the user's own prompts; see `modeltest generate --help`."""

    name = "generate"
    title = "text for your own prompts: modeltest generate"
    modes: tuple[Mode, ...] = ()
    goes_on = True

    def check(self, spec: RunSpec) -> None:
        """Refuse prompts that are none, before anything is loaded.

        Raises: SpecError.
        """
        read_prompts(_options(spec), chat=spec.chat)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the engine must be capable of; drawing tokens only if that is asked for."""
        sampling = {Capability.SAMPLE} if _options(spec).sampling else set()
        return frozenset({Capability.GENERATE, *sampling})

    def environment(self, spec: RunSpec) -> Mapping[str, str]:
        """Return no variables."""
        return {}

    def prepare(self, spec: RunSpec, engine: Engine) -> Evaluation:
        """Read the prompts, at most `spec.limit`."""
        return Asking(spec, read_prompts(_options(spec), chat=spec.chat)[: spec.limit])

    def summarize_files(self, directory: Path) -> GenerationSummary:
        """Return what the file of generations holds."""
        lines = read_lines(directory / FILE_NAME)
        texts = tuple(shortened(lines[index]) for index in sorted(lines))
        try:
            expected = parse_json((directory / COUNT_FILE).read_bytes())["prompts"]
        except (OSError, ValueError, LookupError):
            expected = 0
        return GenerationSummary(expected=expected, texts=texts)


class Asking:
    """Prompts that are ready to be asked."""

    def __init__(self, spec: RunSpec, prompts: list[Prompt]) -> None:
        self._spec = spec
        self._prompts = prompts

    def run(self, engine: Engine, info: EngineInfo, *, directory: Path, tell: Tell) -> None:
        """Ask every prompt that the file does not answer yet, and put the file in order.

        Raises: SpecError when the file holds answers to other prompts.
        """
        path, total = directory / FILE_NAME, len(self._prompts)
        if path.exists():
            put_in_order(path)  # what is added must not continue a line that was torn
        lines = read_lines(path)
        refuse_other_prompts(path, self._prompts, lines)
        write_json(directory / COUNT_FILE, {"prompts": total})
        answered = {index for index, line in lines.items() if line["error"] is None}
        tell(len(answered), total, "prompts")
        for batch in engine.complete(self._requests(answered), batch_size=self._spec.batch_sizes[0][0]):
            append_lines(path, [self._line(completion) for completion in batch])
            answered |= {int(completion.request_id) for completion in batch}
            tell(len(answered), total, "prompts")
        lost = [index for index in range(total) if index not in answered]
        failed = [Completion(str(index), error="the engine gave no answer") for index in lost]
        append_lines(path, [self._line(completion) for completion in failed])
        put_in_order(path)

    def _requests(self, answered: set[int]) -> Iterator[Request]:
        options = _options(self._spec)
        for index, prompt in enumerate(self._prompts):
            if index not in answered:
                yield Request(
                    id=str(index), prompt=prompt, max_new_tokens=options.max_new_tokens, stop=options.stop
                )

    def _line(self, completion: Completion) -> dict[str, object]:
        index = int(completion.request_id)
        return line_of(index, self._prompts[index], completion)


def _options(spec: RunSpec) -> GenerationOptions:
    if spec.options.generation is None:
        raise SpecError("the task generate has a command of its own: modeltest generate")
    return spec.options.generation
