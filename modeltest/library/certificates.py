"""Certificates checked: each against the run that it is of, and the pack that this was judged by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    CERTIFICATE_FILE,
    AcceptanceSummary,
    Certificate,
    ModelTestError,
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
from modeltest.certificate.files import read_certificate
from modeltest.packs.files import pack_digest, read_pack
from modeltest.run.record.directory import PARTIAL_FOLDER, RUN_FILE, read_result
from modeltest.run.record.journal import FILE_NAME

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


def verify_certificate(
    path: str | os.PathLike[str], *, reference: str | os.PathLike[str] | None = None
) -> Verified:
    """Check the certificate in `path`, a file or the directory of a run.

    The run is that whose files lie beside it. With the pack `reference` its answers are scored and judged
    again, without a model.

    Raises: SpecError for a file that is no certificate, or a pack that is none.
    """
    file = certificate_in(Path(path).expanduser())
    certificate = read_certificate(file)
    directory = _run_of(file)
    checks = [check_itself(certificate)]
    result: RunResult | None = None
    if directory is None:
        checks += [Check(name, State.NOT_CHECKED, _NO_RUN) for name in ("run.json", "journal")]
    else:
        result = read_result(directory)
        found = sha256((directory / RUN_FILE).read_bytes()).hexdigest()
        checks += check_run(certificate, result, found)
        checks.append(_journal(certificate, result, directory))
    is_sound = result is not None and checks[-1].state is State.HELD
    checks += _judged(
        certificate, result if is_sound else None, None if reference is None else Path(reference)
    )
    return Verified(file, certificate, tuple(checks))


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


def _judged(certificate: Certificate, result: RunResult | None, reference: Path | None) -> Iterator[Check]:
    if reference is None:
        for name in ("pack", "scores", "tests"):
            yield Check(name, State.NOT_CHECKED, _NO_PACK, is_asked=False)
        return
    pack, digest = read_pack(reference), pack_digest(reference)
    found = check_pack(certificate, pack, digest)
    yield found
    if result is None or found.state is not State.HELD:
        why = _NO_JOURNAL if result is None else "it is another pack"
        yield from (Check(name, State.NOT_CHECKED, why) for name in ("scores", "tests"))
        return
    yield check_scores(pack, result.samples)
    yield _tests(certificate, result, with_pack(result.spec, reference, digest))


def _tests(certificate: Certificate, result: RunResult, spec: RunSpec) -> Check:
    task = registry.load_task(spec.task)
    if not isinstance(task, SequentialTask):
        return Check("tests", State.DIFFERS, f"the run is of {spec.task}, which decides nothing")
    judged = task.summarize_answers(result.samples, spec, result.model)
    if not isinstance(judged, AcceptanceSummary):
        return Check("tests", State.DIFFERS, f"the run is of {spec.task}, which decides nothing")
    return check_tests(certificate, judged)


def with_pack(spec: RunSpec, path: Path, digest: str) -> RunSpec:
    """Return the spec with the pack where it lies here.

    Raises: SpecError where it asks none.
    """
    options = spec.options.pack
    if options is None:
        raise SpecError(f"the run is of {spec.task}, which asks no reference pack")
    moved = replace(options, path=str(path.absolute()), sha256=digest)
    return replace(spec, options=replace(spec.options, pack=moved))
