import pytest
from npu_smi_outputs import A2_LAYOUT, A3_LAYOUT, DUO_LAYOUT

from modeltest.doctor.npu_smi import Chip, chips_in, has_bfloat16, is_300i_duo


def test_every_chip_is_counted_once_and_no_process_is_one():
    assert chips_in(A2_LAYOUT) == (Chip(0, "910B3", "OK"), Chip(1, "910B3", "OK"))


def test_both_chips_of_a_card_are_counted():
    assert chips_in(DUO_LAYOUT) == (Chip(1, "310P3", "OK"), Chip(1, "310P3", "OK"))
    assert chips_in(A3_LAYOUT) == (Chip(0, "Ascend910", "OK"), Chip(0, "Ascend910", "Alarm"))


@pytest.mark.parametrize(
    "text", ["", "dcmi model initialized failed, because the device is used. ret is -8020"]
)
def test_a_message_lists_no_chips(text):
    assert chips_in(text) == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("910B1", "910B3", "910B4-1", "Ascend910", "910_9392", "910C")),
        *((name, False) for name in ("310P3", "310", "910", "910A", "910B", "910ProB", "910PremiumA")),
        *((name, None) for name in ("1000X", "Ascend", "A910B3")),
    ],
)
def test_bfloat16_is_known_by_the_name(name, expected):
    assert has_bfloat16(name) is expected


def test_a_300i_duo_is_known_by_the_name():
    assert [is_300i_duo(name) for name in ("310P3", "310", "910B3")] == [True, False, False]
