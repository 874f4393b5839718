"""From evidence to the answer."""

from modeltest.locate.answer import (
    LEAST_SHARE,
    LEAST_SIGNIFICANCE,
    MOST_EXCESS,
    MOST_PEAK,
    answer_of,
    departures_in,
    rows_of,
)
from modeltest.locate.evidence import Evidence, Slope
from modeltest.locate.stations import Part, Station, part_given, part_returned


def at(layer, part, excess=1.0, *slopes, name=""):
    return Evidence(Station(name or f"{layer} {part.value}", layer, part), excess, slopes)


def answered(*evidence, off=None):
    departures = tuple(departures_in(evidence, off or {}))
    return answer_of(departures, 4), departures


def test_errors_within_rounding_are_no_departure():
    answer, departures = answered(at(0, Part.NORM, MOST_EXCESS * 0.99), at(1, Part.UP))
    assert answer == "no layer departs: all are within rounding"
    assert departures == ()


def test_the_first_in_the_order_of_computation_is_the_answer_and_not_the_largest():
    answer, departures = answered(at(1, Part.ROTARY, 3.0), at(2, Part.UP, 90.0), at(1, Part.DOWN, 5.0))
    assert answer == (
        "layer 1, attention: rotary (error 3 times the dtype's own); also there: feed-forward: down "
        "projection; 1 further of 4 layers depart too"
    )
    assert [each.layer for each in departures] == [1, 2, 1]


def test_an_error_below_the_limit_departs_where_it_has_a_direction():
    slope = Slope("scale of the scores", 0.005, LEAST_SIGNIFICANCE, LEAST_SHARE)
    answer, _ = answered(at(2, Part.SCORES, 1.1, slope))
    assert answer.startswith("layer 2, attention: scale, mask and softmax (error 1.1 times")
    assert "scale of the scores +0.50%" in answer


def test_a_direction_that_is_uncertain_or_too_small_is_none():
    uncertain = Slope("size", 0.1, LEAST_SIGNIFICANCE * 0.99, 1.0)
    small = Slope("size", 0.1, 1e3, LEAST_SHARE * 0.99)
    assert answered(at(2, Part.UP, 1.0, uncertain, small))[1] == ()


def test_a_single_value_that_is_far_off_departs():
    broken = Evidence(Station("layer 2 out", 2, Part.RESIDUAL), 1.1, (), MOST_PEAK)
    answer, _ = answered(broken)
    assert answer == "layer 2, residual (error 1.1 times the dtype's own, in single values 6 times)"
    assert answered(Evidence(broken.station, 1.1, (), MOST_PEAK * 0.99))[1] == ()


def test_a_change_that_explains_little_of_a_large_error_is_not_told():
    (departure,) = answered(at(2, Part.UP, 50.0, Slope("size", 0.1, 1e3, 3.0)))[1]
    assert (departure.change, departure.coefficient) == (None, None)


def test_weights_that_are_no_rounding_depart_whatever_the_activations():
    answer, departures = answered(
        at(3, Part.DOWN, name="layers.3.down_proj out"), off={"layers.3.down_proj": 7}
    )
    assert departures[0].weights_off == 7
    assert "layer 3, feed-forward: down projection" in answer
    assert "7 weights are no rounding" in answer
    assert not answered(at(3, Part.DOWN, name="layers.3.down_proj in"), off={"layers.3.down_proj": 7})[1]


def test_a_place_outside_the_layers_is_called_by_its_operation():
    assert answered(at(None, Part.HEAD, 9.0))[0].startswith("head (error 9")


def test_a_row_has_the_largest_error_of_its_layer():
    evidence = (at(None, Part.EMBEDDING), at(0, Part.NORM, 1.5), at(0, Part.UP, 2.5), at(1, Part.UP, 1.2))
    rows = rows_of(evidence, tuple(departures_in(evidence, {})))
    assert [(each.place, each.operation, each.excess, each.departs) for each in rows] == [
        ("embedding", "embedding", 1.0, False),
        ("layer 0", "feed-forward: up projection", 2.5, True),
        ("layer 1", "feed-forward: up projection", 1.2, False),
    ]


def test_a_matrix_is_known_by_its_name_and_its_owner():
    assert part_returned("h.0.attn.c_proj", "Conv1D", in_layer=True) is Part.OUTPUT
    assert part_returned("h.0.mlp.c_proj", "Conv1D", in_layer=True) is Part.DOWN
    assert part_returned("model.layers.1.input_layernorm", "LlamaRMSNorm", in_layer=True) is Part.NORM
    assert part_returned("model.norm", "LlamaRMSNorm", in_layer=False) is Part.FINAL_NORM


def test_what_a_module_is_given_was_made_by_what_is_no_module():
    assert part_given(Part.DOWN, in_layer=True) is Part.PRODUCT
    assert part_given(Part.NORM, in_layer=True) is Part.RESIDUAL
    assert part_given(Part.HEAD, in_layer=False) is Part.HEAD
