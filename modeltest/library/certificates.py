"""Certificates checked: each against the run that it is of, and the pack that this was judged by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from modeltest import registry
from modeltest.api import (
    CERTIFICATE_FILE,
    AcceptanceSummary,
    Certificate,
    ModelTestError,
    Pack,
    RunResult,
    RunSpec,
    SequentialTask,
    SpecError,
)
from modeltest.certificate.checks import (
    Check,
    State,
    check_answers,
    check_itself,
    check_pack,
    check_run,
    check_scores,
    check_tests,
)
from modeltest.certificate.files import read_certificate, witness
from modeltest.certificate.signing import Signer, check_signature
from modeltest.library.carrying_out import How
from modeltest.library.recomputing import recomputed
from modeltest.options.asked import asked_by_keywords, limits_by_keywords
from modeltest.options.certificate import RecomputeAsked, recomputation
from modeltest.options.limits import TIMEOUTS
from modeltest.packs.files import pack_digest, read_pack
from modeltest.run.record.directory import PARTIAL_FOLDER, RUN_FILE, read_result
from modeltest.run.record.journal import FILE_NAME
from modeltest.run.supervisor.progress import told

_NO_RUN = "no run lies beside the certificate: give the directory of its run to have its answers checked"
_NO_PACK = "the pack is not at hand: give it with --reference"
_NO_JOURNAL = "the answers are not those that were certified"


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a certificate that was checked."""

    path: Path
    certificate: Certificate
    checks: tuple[Check, ...]

    @property
    def is_held(self) -> bool:
        """Whether everything that was asked for was checked, and held."""
        return all(each.passes for each in self.checks)


@dataclass(frozen=True, slots=True)
class VerifyBy:
    """What a certificate is checked by beside the run."""

    reference: Path | None = None
    asked: RecomputeAsked | None = None
    signer: Signer | None = None


def verify_certificate(
    path: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Any,
) -> Verified:
    """Check the certificate in `path`, a file or the directory of a run.

    The run is that whose files lie beside it. With the pack `reference` its answers are scored and judged
    again, without a model. With `recompute`, a number of answers, and `model`, a checkpoint, these are asked
    again in worker processes; the other keywords are the options of `modeltest certificate verify`, such as
    `allowed_signers` and `signer`.

    Raises: SpecError for a file that is no certificate, a pack that is none, and options that are wrong;
    ModelTestError when a run fails.
    """
    names = [f"{what}_timeout" for what in TIMEOUTS if f"{what}_timeout" in options]
    signer = signer_of(options.pop("allowed_signers", None), options.pop("signer", None))
    limits = limits_by_keywords({name: options.pop(name) for name in names})
    asked: RecomputeAsked | None = asked_by_keywords(recomputation, options)
    how = How(told(is_told=progress), limits, verbose=verbose)
    by = VerifyBy(None if reference is None else Path(reference), asked, signer)
    return verify(Path(path), by, how)


def signer_of(allowed_signers: str | os.PathLike[str] | None, name: str | None) -> Signer | None:
    """Return whose signature is asked for; `None`: nobody's.

    Raises: SpecError where one of both is missing.
    """
    if allowed_signers is None and name is None:
        return None
    if allowed_signers is None or not name:
        raise SpecError("a signature is checked by --allowed-signers FILE and --signer NAME; give both")
    return Signer(Path(allowed_signers).expanduser(), name)


def verify(path: Path, by: VerifyBy, how: How) -> Verified:
    """Check the certificate in `path`; see `verify_certificate`.

    Raises: as that does.
    """
    reference, asked = by.reference, by.asked
    if asked is not None and reference is None:
        raise SpecError("--recompute asks the questions of the reference pack: give it with --reference PACK")
    file = certificate_in(path.expanduser())
    certificate = read_certificate(file)
    directory = _run_of(file)
    checks = [check_itself(certificate)]
    if by.signer is not None:
        checks.append(check_signature(file, by.signer))
    result: RunResult | None = None
    if directory is None:
        # Whoever asks for a signature has something that this alone answers.
        is_asked = by.signer is None
        checks += [Check(name, State.NOT_CHECKED, _NO_RUN, is_asked) for name in ("run.json", "journal")]
    else:
        result = read_result(directory)
        found = sha256((directory / RUN_FILE).read_bytes()).hexdigest()
        checks += check_run(certificate, result, found)
        checks.append(_journal(certificate, result, directory))
    sound = result if result is not None and checks[-1].state is State.HELD else None
    pack = None if reference is None else _opened(reference.expanduser())
    checks += _judged(certificate, sound, pack)
    if asked is not None and pack is not None:
        checks += _again(certificate, sound, pack, asked, how)
    return Verified(file, certificate, tuple(checks))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A reference pack that was read, with its file."""

    path: Path
    pack: Pack
    digest: str


def _opened(path: Path) -> _Opened:
    return _Opened(path.absolute(), read_pack(path), pack_digest(path))


def certificate_in(path: Path) -> Path:
    """Return the certificate's file, where `path` is that or the directory of a run.

    Raises: SpecError where there is none.
    """
    if not path.is_dir():
        return path
    for folder in (path, path / PARTIAL_FOLDER):
        if (folder / CERTIFICATE_FILE).exists():
            return folder / CERTIFICATE_FILE
    raise SpecError(
        f"{path} has no {CERTIFICATE_FILE}; `modeltest accept` writes one, and `modeltest report {path}` "
        "writes that of an older run of it"
    )


def _run_of(file: Path) -> Path | None:
    folder = file.absolute().parent
    places = (folder.parent, folder) if folder.name == PARTIAL_FOLDER else (folder,)
    return next((each for each in places if (each / RUN_FILE).exists()), None)


def _journal(certificate: Certificate, result: RunResult, directory: Path) -> Check:
    if not (directory / FILE_NAME).exists():
        return Check("journal", State.NOT_CHECKED, f"{directory / FILE_NAME} is not there")
    try:
        return check_answers(certificate, result.samples)
    except (ModelTestError, ValueError) as problem:
        return Check("journal", State.DIFFERS, str(problem))


def _judged(certificate: Certificate, result: RunResult | None, reference: _Opened | None) -> Iterator[Check]:
    if reference is None:
        for name in ("pack", "scores", "tests"):
            yield Check(name, State.NOT_CHECKED, _NO_PACK, is_asked=False)
        return
    found = check_pack(certificate, reference.pack, reference.digest)
    yield found
    if result is None or found.state is not State.HELD:
        why = _NO_JOURNAL if result is None else "it is another pack"
        yield from (Check(name, State.NOT_CHECKED, why) for name in ("scores", "tests"))
        return
    yield check_scores(reference.pack, result.samples)
    yield _tests(certificate, result, with_pack(result.spec, reference.path, reference.digest))


def _again(
    certificate: Certificate, result: RunResult | None, reference: _Opened, asked: RecomputeAsked, how: How
) -> Iterator[Check]:
    if result is None or reference.digest != certificate.acceptance.pack_sha256:
        yield Check("recomputed", State.NOT_CHECKED, "journal and pack are not both those of the certificate")
        return
    yield from recomputed(certificate, result.samples, (reference.pack, reference.path), asked, how)


def _tests(certificate: Certificate, result: RunResult, spec: RunSpec) -> Check:
    task = registry.load_task(spec.task)
    if not isinstance(task, SequentialTask):
        return Check("tests", State.DIFFERS, f"the run is of {spec.task}, which decides nothing")
    judged = task.summarize_answers(result.samples, spec, result.model)
    if not isinstance(judged, AcceptanceSummary):
        return Check("tests", State.DIFFERS, f"the run is of {spec.task}, which decides nothing")
    return check_tests(certificate, judged, witness("").judged_by_sha256)


def with_pack(spec: RunSpec, path: Path, digest: str) -> RunSpec:
    """Return the spec with the pack where it lies here.

    Raises: SpecError where it asks none.
    """
    options = spec.options.pack
    if options is None:
        raise SpecError(f"the run is of {spec.task}, which asks no reference pack")
    moved = replace(options, path=str(path.absolute()), sha256=digest)
    return replace(spec, options=replace(spec.options, pack=moved))
