import pytest

from modeltest.api import dtype_word


@pytest.mark.parametrize(
    ("dtype", "quantize", "word"),
    [
        ("float16", None, "fp16"),
        ("float16", "w8a8", "fp16_w8a8"),
        ("bfloat16", "w8a8_dynamic", "bf16_w8a8_dynamic"),
        ("float32", None, "fp32"),
        ("float8_e4m3fn", None, "float8_e4m3fn"),
        (None, "w8a8", "w8a8"),
        (None, None, ""),
    ],
)
def test_dtype_and_quantisation_make_one_word(dtype, quantize, word):
    assert dtype_word(dtype, quantize) == word
