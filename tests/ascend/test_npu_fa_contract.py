"""What the adapter relies on in FARunner: on the stand-in always, on an Ascend machine with `-m ascend`."""

import fa_calls
import pytest
from processes import Raised


def test_a_text_and_its_ids_padded_on_the_left_are_answered_alike(place):
    texts, of_ids, counted, counted_of_ids = place.call(fa_calls.text_and_ids)
    assert len(texts) == 2, "a single text is asked as often as there are rows"
    assert of_ids == texts
    assert 0 < counted <= 4
    assert counted_of_ids == 0, "nothing is counted for ids"


def test_every_answer_is_generated_twice_first_one_token_then_all(place):
    first, second = place.call(fa_calls.generated)
    assert first == 1
    assert 1 <= second <= 4


def test_farunner_writes_no_files_whatever_is_switched_on(place):
    everything = place.with_record("times", "ids", "logits")
    assert everything.call(fa_calls.files_written) == []


def test_a_single_token_cannot_be_asked_for(place):
    with pytest.raises(Raised, match="ZeroDivisionError"):
        place.call(fa_calls.single_token)
