from datetime import datetime, timezone

import pytest

from engines.endpoint.transport.retries import MOST_FAILURES, Patience, Trouble, read_retry_after, trouble_of


def test_waits_double_up_to_a_limit_and_scatter() -> None:
    patience = Patience(limit_s=1000, begun_s=0)
    waits = [patience.wait_s(Trouble.AWAY, now_s=0, draw=1.0) for _ in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert Patience(1000, 0).wait_s(Trouble.AWAY, now_s=0, draw=0.0) == 0.25


def test_a_request_that_fails_again_and_again_is_given_up_by_number() -> None:
    patience = Patience(limit_s=1000, begun_s=0)
    waits = [patience.wait_s(Trouble.FAILED, now_s=0, draw=0.5) for _ in range(MOST_FAILURES)]
    assert waits[-1] is None
    assert None not in waits[:-1]


def test_a_busy_server_is_waited_for_until_time_is_up() -> None:
    patience = Patience(limit_s=60, begun_s=100)
    assert patience.wait_s(Trouble.BUSY, now_s=110, draw=1.0, asked_s=20) == 20
    assert patience.wait_s(Trouble.BUSY, now_s=150, draw=1.0, asked_s=20) is None


def test_what_a_server_asks_for_is_waited_for_within_reason() -> None:
    assert Patience(1000, 0).wait_s(Trouble.BUSY, now_s=0, draw=1.0, asked_s=7200) == 120


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Mon, 30 Nov 2026 12:00:10 GMT", 10.0),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text, now=datetime(2026, 11, 30, 12, tzinfo=timezone.utc)) == seconds


def test_only_what_may_go_away_is_tried_again() -> None:
    assert {status: trouble_of(status) for status in (400, 404, 422, 429, 500, 503)} == {
        400: None,
        404: None,
        422: None,
        429: Trouble.BUSY,
        500: Trouble.FAILED,
        503: Trouble.BUSY,
    }
