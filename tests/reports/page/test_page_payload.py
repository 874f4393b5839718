import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.page.payload import packed_json, script_json

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(ANY_JSON)
def test_json_in_a_page_says_what_it_said(value):
    assert json.loads(script_json(value)) == value


@given(st.text())
def test_no_text_can_end_a_script_element_or_a_line_of_script(text):
    assert not set(script_json(text)) & set("<>&\u2028\u2029")


def test_the_end_of_a_script_is_escaped():
    assert script_json("</script><!--") == '"\\u003c/script\\u003e\\u003c!--"'


@given(ANY_JSON)
def test_packed_json_is_deflated_json_in_base64(value):
    unpacked = zlib.decompress(base64.b64decode(packed_json(value)))
    assert json.loads(unpacked.decode("utf-8")) == json.loads(
        json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    )


def test_a_lone_surrogate_is_replaced_rather_than_lost_with_the_page():
    assert json.loads(zlib.decompress(base64.b64decode(packed_json("a\ud800")))) == "a?"


@pytest.mark.parametrize("form", [script_json, packed_json])
def test_what_is_no_number_is_refused(form):
    with pytest.raises(ValueError, match="not JSON compliant"):
        form(float("nan"))
