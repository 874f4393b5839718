import pytest
from click.testing import CliRunner
from made_packs import made_pack

from modeltest.api import SpecError
from modeltest.cli.root import root
from modeltest.packs.files import write_pack


@pytest.fixture
def path(tmp_path):
    write_pack(tmp_path / "tiny.ref", made_pack())
    return tmp_path / "tiny.ref"


def said(*words):
    done = CliRunner().invoke(
        root, ["reference", *map(str, words)], standalone_mode=False, catch_exceptions=False
    )
    assert not done.return_value
    return done.output


def test_show_tells_what_a_pack_is_of_and_how_far_twins_are(path):
    output = said("show", path)
    for words in ("tiny (llama)", "mmlu", "gsm8k", "bf16-batch-1", "attention_scale:1.02", "0.01"):
        assert words in output
    assert "3, 9 tokens told" in output


def test_verify_says_that_a_pack_is_sound(path):
    assert f"{path} is sound: 8 questions, 3 texts, 3 computations; sha256 " in said("verify", path)


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_damaged_pack_is_refused(path, command):
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpecError, match=r"tiny\.ref is no reference pack that can be used"):
        said(command, path)


def test_make_writes_the_pack_and_shows_it(tmp_path):
    words = (
        "--task",
        "boolq",
        "--split",
        "sample",
        "--protocol",
        "lm-eval",
        "--model",
        "none",
        "--engine",
        "fake",
    )
    out = tmp_path / "x.ref"
    output = said("make", *words, "--texts", "2", "--twin-batch-size", "4", "--out", out)
    assert "bf16-batch-4" in output
    assert str(out) in output
    assert "24 questions, 2 texts, 2 computations" in said("verify", out)
