"""Chat templates in a process of their own: the texts of transformers, and an end to those that have none."""

import time

import pytest
from made_tokenizers import byte_tokenizer

from engines.common import chat_template
from engines.common.chat_template import ChatTemplate, TemplateRefusal, template_file
from engines.common.encoding import Encoder
from engines.common.text_tokens import TextTokens
from engines.common.tokenizing import CheckpointTokenizer
from modeltest.api import ChatPrompt, EngineError, Request, SpecError, Turn
from modeltest.plain.contracts import to_plain

TURNS = (Turn("system", "Be {{ brief }}."), Turn("user", "Wo ist 海?\n"), Turn("assistant", " There "))

RICH = """
{%- set ns = namespace(count=0, last='') -%}
{{ bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' and not loop.first %}{{ raise_exception('system turn first') }}{% endif %}
    {%- if loop.index > 3 %}{% break %}{% endif %}
    {%- set ns.count = ns.count + 1 %}
    {% generation %}[{{ message['role'] | upper }}] {{ message.content | trim }}{% endgeneration %}

{{ {'role': message.role, 'text': message.content} | tojson }} {{ dict(a=1) | tojson(indent=1) }}
{%- endfor %}
{{ ns.count }}{{ strftime_now('%Y') }}{{ tools is none }}{{ documents is none }}{{ eos_token }}
{%- if add_generation_prompt %}[ASSISTANT]{% endif %}
"""


def _tokenizer(template, folder="folder"):
    tokenizer = byte_tokenizer()
    tokenizer.name_or_path = str(folder)
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture
def laid_out():
    """Return a function from a template to a `ChatTemplate` whose process ends with the test."""
    made = []

    def of(template, folder="folder"):
        made.append(ChatTemplate(_tokenizer(template, folder)))
        return made[-1]

    yield of
    for each in made:
        each.close()


def test_a_conversation_becomes_the_text_that_transformers_makes_of_it(laid_out):
    raw = _tokenizer(RICH)
    expected = raw.apply_chat_template(to_plain(TURNS), tokenize=False, add_generation_prompt=True)
    assert laid_out(RICH).lay_out(TURNS) == expected
    begun = raw.apply_chat_template(to_plain(TURNS), tokenize=False, continue_final_message=True)
    assert laid_out(RICH).lay_out_begun(TURNS) == begun


def test_texts_of_any_characters_and_length_come_back_whole_and_in_their_order(laid_out):
    said = [
        "",
        "\n",
        '{"fault": "no"}\n3\nabc',
        "海\ud83d\0",
        "long " * 60_000,
        *map(str, range(3000)),
        "\r\n",
    ]
    template = laid_out("{{ messages[0].content }}")
    assert template.lay_out_all([(Turn("user", text),) for text in said]) == said


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2"])
def test_the_demo_models_templates_do_too(family, demo_model):
    from transformers import AutoTokenizer

    raw = AutoTokenizer.from_pretrained(demo_model(family), trust_remote_code=True)
    template = ChatTemplate(raw)
    expected = raw.apply_chat_template(to_plain(TURNS[1:2]), tokenize=False, add_generation_prompt=True)
    assert template.lay_out(TURNS[1:2]) == expected
    template.close()


LOOPS = (
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}"
)
ONE_LONG_OPERATION = "{{ 7 ** (7 ** 9) }}"


@pytest.mark.parametrize("template", [LOOPS + "{% endfor %}", ONE_LONG_OPERATION])
def test_c6_a_template_that_does_not_end_is_ended_and_its_file_named(
    template, laid_out, tmp_path, monkeypatch
):
    monkeypatch.setattr(chat_template, "CPU_S", 1.0)
    (tmp_path / "chat_template.jinja").write_text(template)
    begin = time.monotonic()
    with pytest.raises(EngineError) as ended:
        laid_out(template, tmp_path).lay_out(TURNS)
    assert str(ended.value) == (
        f"the chat template in {tmp_path}/chat_template.jinja cannot be used: it has not ended in 1 s of "
        "processor time; mend it or ask without one"
    )
    assert time.monotonic() - begin < 30


MANY_BLOCKS = "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}"
DOUBLED = "{% set n = namespace(t='x') %}{% for a in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}"
LARGE = "{{ 'x' * 20000000 }}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (MANY_BLOCKS, "it needs more memory than a conversation can"),
        (DOUBLED, "it needs more memory than a conversation can"),
        (LARGE, "it makes 20000000 characters of one conversation; 16777216 are allowed"),
    ],
)
def test_c6_a_template_that_makes_too_much_is_refused(template, reason, laid_out):
    with pytest.raises(EngineError, match=reason):
        laid_out(template).lay_out(TURNS)


def test_c6_a_looping_template_ends_what_asks_through_the_encoder_and_the_tokenizer(monkeypatch):
    monkeypatch.setattr(chat_template, "CPU_S", 0.5)
    texts = TextTokens(_tokenizer(LOOPS + "{% endfor %}"))
    request = Request("r", ChatPrompt((), (), TURNS[1:2]), max_new_tokens=1)
    with pytest.raises(EngineError, match="it has not ended in"):
        list(Encoder(texts, None).encode_all([request]))
    texts.template.close()
    for generation_prompt in (True, False):
        with pytest.raises(EngineError, match="it has not ended in"):
            CheckpointTokenizer(texts).lay_out(TURNS, generation_prompt=generation_prompt)
        texts.template.close()


def test_one_process_serves_all_conversations_in_batches(laid_out, monkeypatch):
    monkeypatch.setattr(chat_template, "BATCH_CHARACTERS", 50)
    template = laid_out("{{ messages[0].content }}")
    texts = [f"text {number} " * 3 for number in range(100)]
    assert template.lay_out_all([(Turn("user", text),) for text in texts]) == texts
    process = template._process
    assert template.lay_out((Turn("user", "one"),)) == "one"
    assert template._process is process


def test_a_conversation_that_is_refused_leaves_the_others(laid_out):
    template = laid_out(
        "{% if messages[0].content == 'no' %}{{ raise_exception('not  this') }}{% endif %}yes"
    )
    refused, taken = template.lay_out_all([(Turn("user", "no"),), (Turn("user", "a"),)])
    assert isinstance(refused, TemplateRefusal)
    assert (str(refused), taken) == ("not this", "yes")


def test_a_template_with_a_fault_of_its_own_refuses_with_it(laid_out):
    with pytest.raises(TemplateRefusal, match=r"^TypeError: can only concatenate str"):
        laid_out("{{ 'a' + 1 }}").lay_out(TURNS)


def test_what_is_no_template_is_refused(laid_out):
    with pytest.raises(EngineError, match=r"cannot be used: it is no template: TemplateSyntaxError: "):
        laid_out("{% if %}").lay_out(TURNS)


def test_a_template_reaches_nothing_of_the_process(laid_out):
    with pytest.raises(TemplateRefusal, match="SecurityError"):
        laid_out("{{ ''.__class__.__mro__ }}").lay_out(TURNS)
    with pytest.raises(TemplateRefusal, match="SecurityError"):
        laid_out("{% set n = namespace(__class__=1) %}").lay_out(TURNS)


def test_a_tokenizer_without_a_template_says_so(laid_out):
    with pytest.raises(SpecError, match="has no chat template that can be used; ask without one"):
        laid_out(None).lay_out(TURNS)


def test_a_template_that_leaves_the_last_turn_out_cannot_begin_it(laid_out):
    with pytest.raises(SpecError, match="does not say the last turn"):
        laid_out("{{ messages[0].content }}").lay_out_begun(TURNS)


def test_the_process_imports_nothing_from_beside_it_or_from_where_it_runs(laid_out, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('a trap')")
    monkeypatch.chdir(tmp_path)
    assert laid_out("{{ messages[0].content }}").lay_out(TURNS) == TURNS[0].content


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json", "chat_template.jinja"])
def test_the_file_with_the_template_is_named(name, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / name).write_text("{}")
    assert template_file(str(tmp_path)) == str(tmp_path / name)
