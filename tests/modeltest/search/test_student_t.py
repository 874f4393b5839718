import pytest

from modeltest.search.student_t import t_probability, t_quantile


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [  # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2
        (0.99, 1, 31.821),
        (0.99, 2, 6.965),
        (0.99, 3, 4.541),
        (0.99, 4, 3.747),
        (0.99, 10, 2.764),
        (0.975, 5, 2.571),
        (0.995, 7, 3.499),
        (0.999, 20, 3.552),
        (0.95, 100, 1.660),
    ],
)
def test_quantiles_are_those_of_the_tables(probability: float, freedom: int, value: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize("freedom", [1, 2, 5, 8, 31])
def test_the_quantile_is_the_inverse_of_the_probability(freedom: int) -> None:
    for probability in (0.5, 0.6, 0.9, 0.9975):
        assert t_probability(t_quantile(probability, freedom), freedom) == pytest.approx(probability)


@pytest.mark.parametrize(("probability", "freedom"), [(0.4, 3), (1.0, 3), (0.99, 0)])
def test_what_has_no_quantile_is_refused(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        t_quantile(probability, freedom)
