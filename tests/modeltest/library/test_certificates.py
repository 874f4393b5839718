"""Certificates of real runs of `accept`, with the engine `fake`: held, forged, and alone."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_packs import write_fake_packs

from modeltest.api import Decision, SpecError
from modeltest.certificate.checks import State
from modeltest.certificate.files import certificate_text, read_certificate
from modeltest.cli import main
from modeltest.cli.root import root
from modeltest.library.certificates import verify_certificate
from modeltest.plain.contracts import to_plain
from modeltest.run.record.running_digest import RunningDigest

ALL = ["certificate", "run.json", "candidate", "decision", "journal", "pack", "scores", "tests"]


def accept(packs: Path, name: str, output: Path, *more: str) -> Path:
    words = ["accept", str(packs / name), "--engine", "fake", "--model", "none", "--batch-size", "16"]
    main([*words, *more, "--output", str(output)])
    (directory,) = output.iterdir()
    return directory


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return write_fake_packs(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="module")
def accepted(packs, tmp_path_factory):
    return accept(packs, "same.ref", tmp_path_factory.mktemp("accepted"))


@pytest.fixture
def run(accepted, tmp_path):
    return Path(shutil.copytree(accepted, tmp_path / "run"))


def states(found):
    return {each.name: each.state for each in found.checks}


def differing(found):
    return [name for name, state in states(found).items() if state is State.DIFFERS]


def change(path: Path, *keys: str | int, to: object) -> None:
    """Write another value into a JSON file."""
    whole = part = json.loads(path.read_text())
    for key in keys[:-1]:
        part = part[key]
    assert part[keys[-1]] != to
    part[keys[-1]] = to
    path.write_text(json.dumps(whole))


def forge(run: Path, edit) -> None:
    """Rewrite the journal with sound digests of its own."""
    digest, lines = RunningDigest(), []
    for line in (run / "samples.jsonl").read_text().splitlines():
        plain = json.loads(line)
        del plain["digest"]
        edit(plain["sample"])
        lines.append(digest.append(json.dumps(plain, separators=(",", ":"))[:-1].encode()))
    (run / "samples.jsonl").write_bytes(b"".join(lines))
    told = json.loads((run / "run.json").read_text())
    told["journal"] = {"lines": len(lines), "bytes": sum(map(len, lines)), "sha256": digest.value}
    (run / "run.json").write_text(json.dumps(told))


def test_a_run_as_it_was_left_holds_in_everything(run, packs):
    found = verify_certificate(run, reference=packs / "same.ref")
    assert list(states(found)) == ALL
    assert set(states(found).values()) == {State.HELD}
    assert found.is_held
    assert found.certificate.is_accepted
    assert found.certificate.acceptance.decision is Decision.ACCEPT


def test_without_the_pack_the_rest_is_checked_and_the_pack_is_told(run):
    found = verify_certificate(run / "certificate.json")
    assert [states(found)[name] for name in ("pack", "scores", "tests")] == [State.NOT_CHECKED] * 3
    assert found.is_held


def test_of_a_certificate_alone_nothing_passes(run, packs, tmp_path):
    alone = shutil.copy(run / "certificate.json", tmp_path / "alone.json")
    found = verify_certificate(alone)
    assert states(found)["certificate"] is State.HELD
    assert states(found)["run.json"] is states(found)["journal"] is State.NOT_CHECKED
    assert not found.is_held
    assert states(verify_certificate(alone, reference=packs / "same.ref"))["pack"] is State.HELD


@pytest.mark.parametrize(
    ("keys", "value", "names"),
    [
        (("is_accepted",), False, ["certificate"]),
        (("candidate", "model", "fingerprint"), "f" * 64, ["candidate"]),
        (("candidate", "dtype"), "bfloat16", ["candidate"]),
        (("started",), "2020-01-01T00:00:00+00:00", ["candidate"]),
        (("run_sha256",), "0" * 64, ["run.json"]),
        (("answers", "root"), "0" * 64, ["journal"]),
        (("answers", "leaves"), 1, ["journal"]),
        (("acceptance", "decision"), "REJECT", ["certificate", "decision", "tests"]),
        (("acceptance", "max_drop"), 0.5, ["decision", "tests"]),
        (("acceptance", "tests", 0, "log_evidence_for"), 3.25, ["decision", "tests"]),
        (("acceptance", "risk_of_wrong_accept"), 0.001, ["decision", "tests"]),
        (("acceptance", "order_seed"), 4, ["decision", "journal"]),
        (("acceptance", "pack_sha256"), "0" * 64, ["decision", "pack"]),
        (("pack", "model", "fingerprint"), "e" * 64, ["pack"]),
    ],
)
def test_whatever_is_changed_in_a_certificate_is_found(run, packs, keys, value, names):
    change(run / "certificate.json", *keys, to=value)
    found = verify_certificate(run, reference=packs / "same.ref")
    assert differing(found) == names
    assert not found.is_held


def test_a_changed_run_file_is_found(run):
    change(run / "run.json", "adapter", to="hf")
    assert differing(verify_certificate(run)) == ["run.json", "candidate"]


def test_a_damaged_journal_is_told_and_not_judged(run, packs):
    lines = (run / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (run / "samples.jsonl").write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"-", b" -", 1)]))
    found = verify_certificate(run, reference=packs / "same.ref")
    assert states(found)["journal"] is State.DIFFERS
    assert states(found)["tests"] is State.NOT_CHECKED
    assert not found.is_held


def test_a_journal_that_is_gone_is_no_pass(run):
    (run / "samples.jsonl").unlink()
    assert not verify_certificate(run).is_held


def test_answers_forged_with_sound_digests_are_found_by_the_root(run):
    def edit(sample):
        if sample["score"]["request_id"].startswith("text/"):
            sample["completion"]["token_logprobs"][0][0] -= 1.0

    forge(run, edit)
    assert {"run.json", "journal"} <= set(differing(verify_certificate(run)))


def test_scores_that_are_not_those_of_the_answers_are_found_though_everything_is_certified_anew(run, packs):
    def edit(sample):
        sample["score"]["subject"] = "other"

    forge(run, edit)
    assert CliRunner().invoke(root, ["report", str(run)]).exit_code == 0
    found = verify_certificate(run, reference=packs / "same.ref")
    assert differing(found) == ["scores"]


def test_another_pack_is_told_and_nothing_is_judged_by_it(run, packs):
    found = verify_certificate(run, reference=packs / "other.ref")
    assert differing(found) == ["pack"]
    assert states(found)["tests"] is State.NOT_CHECKED
    assert not found.is_held


def test_a_rejected_candidate_has_a_certificate_that_says_so(packs, tmp_path):
    found = verify_certificate(accept(packs, "other.ref", tmp_path / "out"), reference=packs / "other.ref")
    assert found.is_held
    assert not found.certificate.is_accepted
    assert found.certificate.acceptance.decision is Decision.REJECT
    assert found.certificate.acceptance.locate == ()


def test_an_undecided_one_too(packs, tmp_path):
    run = accept(packs, "same.ref", tmp_path / "out", "--limit", "5", "--undecided", "pass")
    found = verify_certificate(run, reference=packs / "same.ref")
    assert found.is_held
    assert not found.certificate.is_accepted
    assert found.certificate.most_questions == 5


def test_a_report_made_again_writes_the_same_bytes(run):
    before = (run / "certificate.json").read_bytes()
    (run / "certificate.json").unlink()
    assert CliRunner().invoke(root, ["report", str(run)]).exit_code == 0
    assert (run / "certificate.json").read_bytes() == before


def test_an_unfinished_run_is_certified_as_such(run, packs):
    change(run / "run.json", "status", to="partial")
    change(run / "run.json", "journal", to=None)
    (run / "certificate.json").unlink()
    assert CliRunner().invoke(root, ["report", str(run)], standalone_mode=False).return_value == 1
    found = verify_certificate(run, reference=packs / "same.ref")
    assert found.path == run / "partial" / "certificate.json"
    assert found.is_held
    assert not found.certificate.is_accepted
    assert found.certificate.verdict_codes == ("run_unfinished",)


def test_a_certificate_holds_no_path_of_the_machine(run, packs):
    text = (run / "certificate.json").read_text()
    assert str(packs) not in text
    assert str(Path(__file__).parents[3]) not in text


def test_what_is_read_is_what_was_written(run):
    text = (run / "certificate.json").read_text()
    certificate = read_certificate(run / "certificate.json")
    assert certificate_text(certificate) == text
    keys = list(json.loads(text))
    assert keys == sorted(keys)
    assert to_plain(certificate)["acceptance"]["pack_sha256"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format_version": 2}', '{"format_version": 1}'])
def test_a_file_that_is_no_certificate_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SpecError, match="no certificate that can be read"):
        verify_certificate(tmp_path / "x.json")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no certificate that can be read: No such file"):
        verify_certificate(tmp_path / "x.json")
    with pytest.raises(SpecError, match=r"has no certificate\.json"):
        verify_certificate(tmp_path)


@pytest.mark.parametrize(("more", "status"), [((), 0), (("--json",), 0)])
def test_the_command_tells_each_check(run, packs, capfd, more, status):
    words = ["certificate", "verify", str(run), "--reference", str(packs / "same.ref"), *more]
    assert main(words) == status
    told = capfd.readouterr().out
    if more:
        plain = json.loads(told)
        assert plain["is_held"] is True
        assert [each["name"] for each in plain["checks"]] == ALL
    else:
        assert [line.split()[1].rstrip(":") for line in told.splitlines()[:-1]] == ALL
        assert told.endswith("ACCEPT, the candidate is accepted\n")


def test_the_command_ends_with_1_when_something_differs_and_with_2_for_no_certificate(run, tmp_path, capfd):
    change(run / "certificate.json", "run_sha256", to="0" * 64)
    assert main(["certificate", "verify", str(run)]) == 1
    assert "differs      run.json" in capfd.readouterr().out
    (tmp_path / "x.json").write_text("{}")
    assert main(["certificate", "verify", str(tmp_path / "x.json")]) == 2


def again(run: Path, packs: Path, output: Path, **options: object):
    asked = {"recompute": 60, "seed": 1, "model": "none", "output": str(output), **options}
    return verify_certificate(run, reference=packs / "same.ref", **asked)


def detail(found, name: str) -> str:
    return next(each.detail for each in found.checks if each.name == name)


def test_answers_that_are_asked_again_hold(run, packs, tmp_path):
    found = again(run, packs, tmp_path / "again", batch_size=5)
    assert states(found)["recomputed"] is State.HELD
    # Its twin answers questions as the reference does, to the last bit: that is no measure of rounding.
    assert "--seed 1), 43 compared and 17 that no twin tells" in detail(found, "recomputed")
    assert found.is_held
    (directory,) = (tmp_path / "again").iterdir()
    assert len((directory / "samples.jsonl").read_text().splitlines()) == 60


def test_another_draw_each_time_is_told(run, packs, tmp_path):
    drawn = [detail(again(run, packs, tmp_path / str(n), seed=None), "recomputed") for n in range(2)]
    assert drawn[0].partition(")")[0] != drawn[1].partition(")")[0]


def test_forged_answers_that_were_certified_anew_are_found_when_they_are_asked_again(run, packs, tmp_path):
    def edit(sample):
        if sample["score"]["request_id"].startswith("text/1"):
            sample["completion"]["token_logprobs"][0] = [-1.0] * 16

    forge(run, edit)
    CliRunner().invoke(root, ["report", str(run)])
    assert verify_certificate(run, reference=packs / "same.ref").is_held
    found = again(run, packs, tmp_path / "again")
    assert differing(found) == ["recomputed"]
    assert "text/1" in detail(found, "recomputed")


def test_nothing_is_asked_again_where_the_journal_is_not_the_certified_one(run, packs, tmp_path):
    change(run / "certificate.json", "answers", "root", to="0" * 64)
    assert states(again(run, packs, tmp_path / "again"))["recomputed"] is State.NOT_CHECKED
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": None}, "--model DIR"),
        ({"dtype": "bf16"}, "the certificate is of answers in"),
        ({"recompute": 0}, "recompute"),
        ({"limit": 3}, "no option 'limit'"),
    ],
)
def test_what_cannot_be_asked_again_is_refused(run, packs, tmp_path, options, reason):
    with pytest.raises(SpecError, match=reason):
        again(run, packs, tmp_path / "again", **options)


def test_asking_again_needs_the_pack(run):
    with pytest.raises(SpecError, match="--reference PACK"):
        verify_certificate(run, recompute=5, model="none")


def test_who_signs_needs_a_file_of_signers_and_a_name(run):
    for options in ({"signer": "one"}, {"allowed_signers": "x"}):
        with pytest.raises(SpecError, match="give both"):
            verify_certificate(run, **options)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not here")
def test_a_signed_certificate_alone_passes_by_its_signature(run, tmp_path, capfd):
    key = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    (tmp_path / "allowed").write_text(f"one {key.with_suffix('.pub').read_text()}")
    assert main(["certificate", "sign", str(run), "--key", str(key)]) == 0
    assert capfd.readouterr().out == f"{run / 'certificate.json.sig'}\n"
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("certificate.json", "certificate.json.sig"):
        shutil.copy(run / name, alone / name)
    signer = ["--allowed-signers", str(tmp_path / "allowed"), "--signer"]
    assert main(["certificate", "verify", str(alone), *signer, "one"]) == 0
    assert main(["certificate", "verify", str(alone), *signer, "two"]) == 1
