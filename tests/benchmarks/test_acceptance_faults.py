"""What `accept` finds of the catalogue, on a tiny model: asked, remembered and told."""

import json
from dataclasses import asdict, replace

import acceptance_faults
import pytest
from acceptance_faults import (
    Found,
    counts_of,
    faults_of,
    line_of,
    missed_of,
    read_sizes,
    row_of,
    steps,
    unlike,
    within,
)
from made_packs import computation, letters, made_pack, text

from modeltest.api import Role
from modeltest.demo.faults.catalogue import catalogue


def found(strength=1.05, by_texts=20, **fields):
    values = {
        "model": "smollm2",
        "fault": "rope_frequencies",
        "strength": strength,
        "held_out": False,
        "orders": 20,
        "by_texts": by_texts,
        "rejected": by_texts,
        "tokens": 1536.0,
        "questions": None,
    }
    return Found(**{**values, **fields})


def test_strengths_go_from_a_ports_own_to_weaker_ones():
    fault = replace(catalogue().named("rope_frequencies"), ladder=(1.01, 1.05, 1.1), strength=1.05)
    assert steps(fault) == [1.05, 1.01]


def test_faults_that_need_plain_rows_come_last_and_those_of_generated_text_not_at_all():
    names = [each.name for each in faults_of("smollm2", [])]
    assert names.index("mask_hides_itself") > names.index("answers_swapped")
    assert "stop_token_missed" not in names
    with pytest.raises(SystemExit, match="gpt2 has none"):
        faults_of("gpt2", ["rope_base"])


def test_texts_are_taken_in_their_order_as_long_as_their_tokens_fit():
    window = [text(0, tokens=20), letters(1), text(2, tokens=20), text(3, tokens=1)]
    assert [each.id for each in within(window, 40)] == ["text/0", "text/2"]
    assert list(within(window, 19)) == []


def test_a_fault_is_tried_without_the_direction_that_is_the_same():
    pack = made_pack()
    scale = computation("query", Role.DIRECTION, fault="query_scale:1.01")
    computations = (*pack.manifest.computations, scale)
    pack = replace(pack, manifest=replace(pack.manifest, computations=computations))
    named = catalogue().named
    assert scale not in unlike(pack, named("attention_scale")).of_role(Role.DIRECTION)
    assert scale in unlike(pack, named("rope_frequencies")).of_role(Role.DIRECTION)


def test_the_weakest_strength_that_is_found_often_enough_is_told():
    rows = [found(1.05), found(1.02, 19), found(1.01, 18)]
    row = row_of("smollm2", "rope_frequencies", rows, 0.95)
    assert row == ("smollm2", "`rope_frequencies`", "", "1.05", "20 of 20, 1536", "1.02")
    assert row_of("smollm2", "rope_frequencies", rows[2:], 0.95)[-1] == "none"
    assert "20 of 20 (1536 tokens)" in line_of(rows[0])


SIZES = {("smollm2", "rope_frequencies"): 3.0, ("smollm2", "head_order"): 0.4}
GROUPS = {
    ("smollm2", "rope_frequencies"): [found(1.05), found(1.02, 3)],
    ("smollm2", "head_order"): [found(1.0, 0, fault="head_order", held_out=True)],
    ("smollm2", "gelu_variant"): [found(1.0, 0, fault="gelu_variant")],
    ("smollm2", "answers_swapped"): [found(0.1, 4, fault="answers_swapped", rejected=20, held_out=True)],
}


def test_faults_with_an_effect_are_counted_at_their_own_strength():
    assert list(counts_of(GROUPS, SIZES, 0.95)) == [("smollm2", "3", "1", "0 of 2", "2")]


def test_what_is_missed_is_told_with_its_size():
    assert list(missed_of(GROUPS, SIZES, 0.95)) == [
        ("smollm2", "`head_order`", "yes", "1", "0.40", "0 of 20")
    ]


def test_sizes_are_told_over_that_of_rounding_and_without_faults_that_have_none(tmp_path):
    rows = [("bfloat16", 0.02, None), ("head_order", 0.05, True), ("gelu_variant", 0.001, False)]
    effects = [
        {"model": "gpt2", "fault": fault, "mean_absolute": size, "has_effect": has}
        for fault, size, has in rows
    ]
    (tmp_path / "e.json").write_text(json.dumps({"effects": effects}))
    assert read_sizes(tmp_path / "e.json") == {("gpt2", "head_order"): pytest.approx(2.5)}


def test_the_tables_are_told_of_files(tmp_path, monkeypatch, capsys):
    path = tmp_path / "found.jsonl"
    path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in (found(), found(1.02, 3))))
    monkeypatch.setattr("sys.argv", ["acceptance_faults.py", "tell", str(path)])
    acceptance_faults.main()
    told = capsys.readouterr().out
    assert "| smollm2 | `rope_frequencies` |  | 1.05 | 20 of 20, 1536 | 1.05 |" in told
    assert "| smollm2 | 1 | 1 | 0 of 0 | 1 |" in told


def test_faults_are_put_into_a_model_and_asked_once(tmp_path, monkeypatch, capsys, demo_model):
    from modeltest.packs.files import write_pack

    texts = [text(number, tokens=24) for number in range(40)]
    # A made twin that a real model is nothing like: everything is rejected at once.
    pack = made_pack([letters(number) for number in range(30)], texts)
    write_pack(tmp_path / "x.ref", pack)
    words = ["ask", str(tmp_path / "x.ref"), f"gpt2={demo_model('gpt2')}", "--to", str(tmp_path / "f.jsonl")]
    words += ["--orders", "2", "--fault", "head_order", "--dtype", "fp32"]
    monkeypatch.setattr("sys.argv", ["acceptance_faults.py", *words])
    acceptance_faults.main()
    assert "gpt2      head_order" in capsys.readouterr().out
    (line,) = (tmp_path / "f.jsonl").read_text().splitlines()
    assert json.loads(line)["by_texts"] == 2
    acceptance_faults.main()
    assert capsys.readouterr().out == ""


def test_a_model_that_is_not_of_the_catalogue_is_named(tmp_path, monkeypatch):
    words = ["ask", "x.ref", f"bert={tmp_path}", "--to", "f"]
    monkeypatch.setattr("sys.argv", ["acceptance_faults.py", *words])
    with pytest.raises(SystemExit, match=r"'bert=.*': give NAME=DIRECTORY with a NAME of smollm2"):
        acceptance_faults.main()


def test_the_document_has_the_tables_of_what_was_found(monkeypatch, capsys):
    found = acceptance_faults.EFFECTS.with_name("found.jsonl")
    monkeypatch.setattr("sys.argv", ["acceptance_faults.py", "tell", str(found)])
    acceptance_faults.main()
    document = (acceptance_faults.EFFECTS.parents[2] / "docs" / "faults.md").read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) > 400
    assert [line for line in lines if line not in document] == []
