"""The pack that a run asks the questions of: found by the options of its spec, the same as at its begin."""

from __future__ import annotations

from pathlib import Path

from modeltest.acceptance.asking import task_of_pack
from modeltest.api import Capability, Pack, PackManifest, PackOptions, RunSpec, SpecError
from modeltest.packs.files import read_manifest, read_pack


def pack_options(spec: RunSpec) -> PackOptions:
    """Return which pack a run asks.

    Raises: SpecError where it names none, or asks what no question of a pack has.
    """
    options = spec.options.pack
    if options is None:
        raise SpecError(f"the task {spec.task} asks the questions of a reference pack, and none is given")
    if options.questions is not None and options.questions < 0:
        raise SpecError(f"{options.questions} questions of a reference pack cannot be asked; give 0 or more")
    if spec.lora is not None:
        raise SpecError("the questions of a reference pack have no adapters; leave lora out")
    return options


def manifest_of(spec: RunSpec, *, takes_draft: bool = False) -> PackManifest:
    """Return what the pack of a run says of itself.

    Raises: SpecError, as `read_manifest`.
    """
    options = pack_options(spec)
    return read_manifest(Path(options.path), sha256=options.sha256, takes_draft=takes_draft)


def pack_of(spec: RunSpec, *, takes_draft: bool = False) -> Pack:
    """Return the pack of a run.

    Raises: SpecError, as `read_pack`.
    """
    options = pack_options(spec)
    return read_pack(Path(options.path), sha256=options.sha256, takes_draft=takes_draft)


def capabilities_for(manifest: PackManifest, *, questions: bool = True) -> frozenset[Capability]:
    """Return what an engine needs to answer all of a pack, or its texts alone.

    Raises: as `task_of_pack`.
    """
    needed = {Capability.TOKEN_LOGPROBS} if manifest.texts else set()
    if questions:
        needed.update(*(task_of_pack(task).requires(task.spec) for task in manifest.tasks))
    return frozenset(needed)
