import hashlib
import io
import json
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_packs import letters, made_pack, right, with_manifest, with_wordings

from modeltest.api import SpecError, Turn
from modeltest.packs import files, layout, lines
from modeltest.packs.archive import packed
from modeltest.packs.files import pack_digest, read_manifest, read_pack, write_pack

PACK = made_pack()
OF_NO_PREFIX = '{"task":"t","record":{"id":"a","subject":"b","fields":{}},"prompt":[1],"prefix":9}'


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("packs") / "tiny.ref"
    write_pack(path, PACK)
    return path


def _members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _sealed(manifest):
    """Return a manifest whose seal fits, so that what is wrong with it is found behind the seal."""
    return files._sealed({key: value for key, value in manifest.items() if key != "seal"})


def _with_member(path, to, name, data):
    """Write a pack with another member, and digests that fit."""
    members = {**_members(path), name: data}
    manifest = json.loads(members["manifest.json"])
    manifest["members"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    members["manifest.json"] = _sealed(manifest)
    to.write_bytes(packed(members))
    return to


def _with_manifest(path, to, **fields):
    members = _members(path)
    members["manifest.json"] = _sealed({**json.loads(members["manifest.json"]), **fields})
    to.write_bytes(packed(members))
    return to


def _refused(path, **how):
    with pytest.raises(SpecError) as caught:
        read_pack(path, **how)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def test_a_pack_is_read_as_it_was_written(written):
    assert read_pack(written) == PACK
    assert read_manifest(written) == PACK.manifest


def test_equal_packs_give_equal_bytes_and_their_digest_is_told(tmp_path, written):
    sha256 = write_pack(tmp_path / "again.ref", made_pack())
    assert (tmp_path / "again.ref").read_bytes() == written.read_bytes()
    assert sha256 == pack_digest(written) == hashlib.sha256(written.read_bytes()).hexdigest()
    assert read_pack(written, sha256=sha256) == PACK


def test_what_prompts_of_a_subject_share_is_held_once(written):
    members = _members(written)
    prefixes = [json.loads(line)["ids"] for line in members["prefixes.jsonl"].splitlines()]
    questions = [json.loads(line) for line in members["questions.jsonl"].splitlines()]
    assert prefixes == [[*range(100, 112), 7], [*range(100, 112), 8]]
    assert [(one.get("prefix"), one["prompt"]) for one in questions[2:5]] == [
        (0, [2, 7]),
        (1, [3, 7]),
        (1, [4, 7]),
    ]
    assert "prefix" not in questions[-1], "four tokens are not worth it"


def test_another_pack_than_the_run_began_with_is_refused(written):
    assert "its sha256 is" in _refused(written, sha256="0" * 64)


def test_a_draft_is_read_by_those_alone_who_know_it(tmp_path):
    answers = {name: answer for name, answer in PACK.reference.items() if not name.startswith("text/")}
    draft = with_manifest(replace(PACK, answers={**PACK.answers, "reference": answers}), is_draft=True)
    write_pack(tmp_path / "draft.ref", draft)
    assert "it is a draft" in _refused(tmp_path / "draft.ref")
    assert read_pack(tmp_path / "draft.ref", takes_draft=True) == draft
    assert read_manifest(tmp_path / "draft.ref", takes_draft=True).is_draft


@pytest.mark.parametrize("place", ["missing.ref", "folder", "nul\0.ref"])
def test_what_is_no_file_is_refused(tmp_path, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError, match=r"is no file|cannot be read"):
        read_pack(tmp_path / place)


def test_what_is_no_zip_file_is_refused(tmp_path):
    path = tmp_path / "x.ref"
    for data in (b"", b"PK\x03\x04", b"x" * 100, packed({"other": b""})):
        path.write_bytes(data)
        assert "is no reference pack that can be used" in _refused(path)


def test_a_newer_version_is_refused_by_its_number(written, tmp_path):
    said = _refused(_with_manifest(written, tmp_path / "x.ref", version=3))
    assert "its version is 3, this ModelTest reads 1 to 2: take one that fits" in said
    assert "its format is not" in _refused(_with_manifest(written, tmp_path / "x.ref", format="zip"))


def test_questions_as_text_and_generated_tokens_are_read_as_they_were_written(tmp_path):
    said = replace(PACK.reference["gsm8k/gsm8k/0"], output=(4, 5, 2))
    answers = {**PACK.answers, "reference": {**PACK.reference, said.id: said}}
    pack = with_wordings(replace(PACK, answers=answers), 7)
    turns = (Turn("system", "Be brief."), Turn("user", "how many?"))
    last = replace(pack.wordings[6], text=None, turns=turns)
    pack = replace(pack, wordings=(*pack.wordings[:6], last))
    write_pack(tmp_path / "x.ref", pack)
    assert read_pack(tmp_path / "x.ref") == pack


def test_a_pack_of_version_1_has_no_questions_as_text(written, tmp_path):
    manifest = json.loads(_members(written)["manifest.json"])
    assert manifest["wordings"] == 0
    del manifest["wordings"]
    members = {**_members(written), "manifest.json": _sealed({**manifest, "version": 1})}
    (tmp_path / "x.ref").write_bytes(packed(members))
    assert read_pack(tmp_path / "x.ref") == PACK


def test_members_that_are_missing_or_unknown_are_refused(written, tmp_path):
    members, path = _members(written), tmp_path / "x.ref"
    for name in members:
        path.write_bytes(packed({key: data for key, data in members.items() if key != name}))
        assert "is missing" in _refused(path) or "it has no manifest.json" in _refused(path)
    for name in ("../evil", "/etc/passwd", "answers/../texts.jsonl", "answers/more.jsonl", "QUESTIONS.JSONL"):
        path.write_bytes(packed({**members, name: b""}))
        assert "is none that a pack has" in _refused(path)


def test_two_members_of_one_name_are_refused(written, tmp_path):
    path = tmp_path / "x.ref"
    path.write_bytes(written.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("texts.jsonl", b"")
    assert "two members of one name" in _refused(path)


def test_a_bomb_is_refused_before_it_is_unpacked(written, tmp_path, monkeypatch):
    path = tmp_path / "x.ref"
    path.write_bytes(packed({**_members(written), "texts.jsonl": b"0" * 100_000}))
    monkeypatch.setattr("modeltest.packs.archive.MOST_BYTES", 50_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("something was unpacked"))
    assert "unpacked it would have" in _refused(path)


def test_a_long_beginning_that_many_prompts_name_is_refused(written, tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_PROMPT_TOKENS", 80)
    assert "have more than 80 tokens" in _refused(written)


def test_a_file_that_is_too_large_is_not_read(written, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILE_BYTES", 10)
    assert "no reference pack has more than 10" in _refused(written)


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("answers/reference.jsonl", '{"id":"x","logprobs":[NaN,-1]}', "NaN is no number"),
        ("answers/reference.jsonl", '{"id":"x","logprobs":[1e999]}', "beyond all bounds"),
        ("answers/bf16-batch-1.jsonl", '{"id":"mmlu/anatomy/0"}', "logprobs"),
        ("questions.jsonl", '{"task":"mmlu"}', "record"),
        ("questions.jsonl", OF_NO_PREFIX, "there is no prefix 9; 2 are there"),
        ("texts.jsonl", '{"id":"text/9","context":[true],"ids":[1]}', "expected int"),
        ("texts.jsonl", "[" * 100_000, "too deep"),
        ("prefixes.jsonl", '{"ids":[1],"more":1}', "unknown fields"),
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_refused_by_its_number(written, tmp_path, name, line, reason):
    data = _members(written)[name]
    count = data.count(b"\n") + 1
    said = _refused(_with_member(written, tmp_path / "x.ref", name, data + line.encode() + b"\n"))
    assert f"{name}, line {count}: " in said
    assert reason in said


def test_a_line_without_an_end_is_refused(written, tmp_path):
    data = _members(written)["texts.jsonl"][:-1]
    assert "line 3: it has no end" in _refused(_with_member(written, tmp_path / "x.ref", "texts.jsonl", data))


def test_an_answer_that_is_there_twice_is_refused(written, tmp_path):
    data = _members(written)["answers/scale.jsonl"]
    path = _with_member(written, tmp_path / "x.ref", "answers/scale.jsonl", data * 2)
    assert "is answered twice" in _refused(path)


def test_a_pack_that_contradicts_itself_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="is there twice"):
        write_pack(tmp_path / "x.ref", made_pack([letters(1), letters(1)]))
    assert not (tmp_path / "x.ref").exists()


@given(data=st.data())
def test_any_changed_byte_of_a_member_is_refused(written, tmp_path_factory, data):
    members = _members(written)
    name = data.draw(st.sampled_from(sorted(members)))
    at = data.draw(st.integers(0, len(members[name]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != members[name][at]))
    changed = members[name][:at] + bytes([byte]) + members[name][at + 1 :]
    path = tmp_path_factory.getbasetemp() / "changed.ref"
    path.write_bytes(packed({**members, name: changed}))
    assert "as it was written" in _refused(path) or name == "manifest.json"


@given(data=st.data())
def test_any_changed_byte_of_the_file_is_refused_or_means_nothing(written, tmp_path_factory, data):
    whole = written.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.ref"
    path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    try:
        found = read_pack(path)
    except SpecError:
        _refused(path)
    else:
        assert found == PACK


@given(length=st.integers(0, 5000))
def test_a_pack_that_was_cut_is_refused(written, tmp_path_factory, length):
    whole = written.read_bytes()
    path = tmp_path_factory.getbasetemp() / "cut.ref"
    path.write_bytes(whole[: min(length, len(whole) - 1)])
    _refused(path)


def test_fourteen_thousand_questions_stay_small(tmp_path):
    """MMLU in full with shots of 700 tokens: the shots of a subject are there once."""
    questions = []
    for number in range(14_042):
        shots = range(1000 * (number % 57), 1000 * (number % 57) + 700)
        questions.append(
            letters(number, subject=f"s{number % 57}", prompt=(*shots, *range(number, number + 90)))
        )
    pack = made_pack(questions, twins={"t": {one.id: right(one) for one in questions[:400]}})
    path = tmp_path / "mmlu.ref"
    write_pack(path, pack)
    assert path.stat().st_size < 8_000_000
    assert len(_members(path)["prefixes.jsonl"].splitlines()) == 57
    assert read_pack(path).questions[-1] == questions[-1]


def test_answers_lie_under_the_name_of_their_computation(written):
    assert {name for name in _members(written) if name.startswith("answers/")} == {
        layout.answers_member(computation) for computation in PACK.manifest.computations
    }


def test_entries_are_plain_files_of_one_time(written):
    with zipfile.ZipFile(io.BytesIO(written.read_bytes())) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
