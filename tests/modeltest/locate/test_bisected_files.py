"""The answer of a bisection in words."""

import json

from modeltest.locate.bisected_files import BisectedResult, answer_of, rows_of, write_bisected
from modeltest.locate.bisection import Bisected, CutEvidence


def found(layer, **excess):
    cuts = tuple(CutEvidence(int(name[1:]), each, 0.1, 50) for name, each in excess.items())
    return Bisected(layer, cuts, 8)


def test_a_layer_is_named_with_its_neighbours_and_no_operation():
    answer = answer_of(found(4, c8=2.0, c4=1.0, c6=2.5, c5=3.0))
    assert answer.startswith("layer 4 (error 3 times the dtype's own behind it, 1 before it)")
    assert answer.endswith("the operation is not told: the engine gives no hooks")


def test_the_first_layer_is_not_told_from_what_every_cut_has():
    answer = answer_of(found(0, c8=9.0, c1=9.0))
    assert answer.startswith(
        "layer 0, or what every cut has: embedding, positions, final norm, head (error 9"
    )
    assert "coarser" not in answer


def test_an_engine_that_is_a_little_off_everywhere_may_compute_coarser():
    assert answer_of(found(0, c8=1.4, c1=1.3)).endswith("the engine may compute coarser throughout")


def test_where_nothing_departs_it_says_what_was_asked():
    answer = answer_of(found(None, c8=1.0, c4=1.1))
    assert answer == "no layer departs: behind 4, 8 layers all is within 1.15 times the dtype's own rounding"


def test_files_have_the_answer_and_every_cut(tmp_path):
    bisected = found(4, c8=2.0, c4=1.0, c5=3.0)
    result = BisectedResult(
        answer=answer_of(bisected),
        departs=True,
        layer=4,
        operation=None,
        rows=rows_of(bisected.cuts),
        layers=8,
        observations=50,
        dtype="bfloat16",
        engine="fake",
        versions={},
        reference="/r",
        model="/m",
    )
    write_bisected(result, tmp_path)
    content = json.loads((tmp_path / "locate.json").read_text())
    assert (content["layer"], content["operation"], content["answer"]) == (4, None, result.answer)
    assert [row["layers"] for row in content["rows"]] == [4, 5, 8]
    text = (tmp_path / "locate.md").read_text()
    assert result.answer in text
    assert "| 5 | 3.00 | 0.1 | yes |" in text
