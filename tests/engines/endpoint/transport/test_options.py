from dataclasses import replace
from pathlib import Path

import pytest
from endpoint_engine import spec_of

from engines.endpoint.engine import OpenAIEngine
from engines.endpoint.transport.options import EndpointOptions
from modeltest.api import SpecError

URL = "http://127.0.0.1:1/v1"


def test_options_are_converted(tmp_path: Path) -> None:
    options = EndpointOptions.of(spec_of(URL, tokenizer=str(tmp_path), idle_s="2.5", allow_http="yes"))
    assert (options.tokenizer, options.idle_s, options.allow_http) == (str(tmp_path), 2.5, True)
    assert EndpointOptions.of(spec_of(URL)) == EndpointOptions()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"key": "x"}, "no option 'key'"),
        ({"idle_s": "0"}, "a number above 0"),
        ({"idle_s": "nan"}, "a number above 0"),
        ({"allow_http": "true"}, "yes or no"),
        ({"context_tokens": "1.5"}, "a whole number"),
        ({"tokenizer": "/nowhere"}, "no folder"),
        ({"headers": "/nowhere"}, "no file"),
        ({"ca_bundle": "/nowhere"}, "no file"),
        ({"retokenize": "yes"}, "needs tokenizer"),
        ({"served_model": " "}, "must be a text"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(given: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        EndpointOptions.of(spec_of(URL, **given))
    assert "\n" not in str(caught.value)


def test_the_model_is_called_by_its_server_or_its_name() -> None:
    engine = OpenAIEngine()
    assert engine.served_model(spec_of(URL)).name == "127.0.0.1-1"
    model = engine.served_model(spec_of(URL, served_model="org/my model"))
    assert (model.name, model.path, model.fingerprint) == ("org-my-model", URL, None)


def test_a_device_is_refused_since_the_server_has_its_own() -> None:
    engine, spec = OpenAIEngine(), spec_of(URL)
    with pytest.raises(SpecError, match="--device"):
        engine.check(replace(spec, device="npu"), engine.served_model(spec))
