"""The command that says where a rejected port departs, in the values of the run that rejected it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from modeltest.api import DTYPE_WORDS, PackManifest, RunSpec

_UNKNOWN = "DIR"
"""Stands for a checkpoint that only the user knows: the reference's of a pack without a task, whose run would
name it, and that of a server."""


def locate_words(spec: RunSpec, manifest: PackManifest) -> tuple[str, ...]:
    """Return the words of `modeltest locate` for the candidate of `spec`, and the reference of its pack.

    The reference is where the pack was made from. What a served model was served from, who serves it knows.
    """
    reference = next((task.spec.weights for task in manifest.tasks), _UNKNOWN)
    named = ("modeltest", "locate", "--reference", reference, "--model", spec.weights)
    served = ("--served-from", _UNKNOWN) if "://" in spec.weights else ()
    return (*named, *served, "--engine", spec.engine, *_further(spec))


def _further(spec: RunSpec) -> Iterator[str]:
    """Yield the other options that say how the candidate is loaded."""
    for name, value in (
        ("--dtype", DTYPE_WORDS.get(spec.dtype or "", spec.dtype)),
        ("--max-position-embeddings", spec.max_position_embeddings),
        ("--device", spec.device),
        ("--engine-python", spec.engine_python),
    ):
        if value is not None:
            yield from (name, str(value))
    if spec.allow_dtype_cast:
        yield "--allow-dtype-cast"
    if spec.trust_remote_code:
        yield "--trust-remote-code"
    for name, value in spec.engine_options.items():
        yield from ("--engine-option", f"{name}={value}")
