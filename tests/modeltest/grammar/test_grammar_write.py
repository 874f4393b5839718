import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import (
    Argument,
    BatchRange,
    Case,
    Cluster,
    Mode,
    Parallel,
    PromptSource,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.grammar.modes import ENGINE_WORDS, all_modes
from modeltest.grammar.parse import parse, to_words

MODES = all_modes([])
KEYS = ("gemma", "llama", "chat")
RESERVED = ("chat", "base", "lora", "trust_remote_code")

counts = st.integers(1, 10**9)
paths = st.text(min_size=1, max_size=10).filter(lambda text: text not in RESERVED)
cases = st.lists(st.builds(Case, counts, counts), min_size=1, max_size=4).map(tuple)
batch_list = st.lists(counts, min_size=1, max_size=3).map(tuple)
tables = paths.filter(lambda text: "encrypt" not in text).map(lambda text: f"t{text}")
degrees = st.just(-1) | counts


@st.composite
def clusters(draw):
    nodes, chips = draw(st.integers(1, 8)), draw(st.integers(1, 16))
    rank = chips * draw(st.integers(0, nodes - 1))
    return nodes * chips, Cluster(draw(tables), nodes, rank, draw(st.sampled_from(("10.0.0.1", "::1"))))


def batch_sizes(mode, cases_given):
    one_list = batch_list.map(lambda sizes: (sizes,))
    if Argument.PREFILL not in mode.arguments or len(cases_given) == 1:
        return one_list
    per_case = st.tuples(*[batch_list] * len(cases_given))
    return one_list | per_case


@st.composite
def task_options(draw, mode, cases_given):
    ranges = st.tuples(counts, counts).map(lambda ends: BatchRange(min(ends), max(ends)))
    groups = st.none() | counts
    source = st.builds(PromptSource, st.sampled_from(("boolq", "customize")), st.booleans(), groups)
    fields = {
        Argument.SHOTS: {"shots": st.integers(0, 100)},
        Argument.RANGES: {"batch_ranges": st.tuples(*[ranges] * len(cases_given))},
        Argument.LIMIT_MS: {"latency_limit_ms": st.floats(0, 1e12, exclude_min=True)},
        Argument.CONTEXT: {"context_tokens": st.sampled_from((4096, 8192, 32768, 262144, 1024000))},
        Argument.PROMPT: {"prompt_input": st.sampled_from(("a.txt", '["a b"]', "[1,2]"))},
        Argument.PREFILL: {
            "prefill_batch_size": st.none() | counts,
            "prefill_length": st.none() | counts,
            "prompt_source": st.none() | source,
        },
    }
    wanted = {name: field for argument in mode.arguments for name, field in fields.get(argument, {}).items()}
    return TaskOptions(**{name: draw(field) for name, field in wanted.items()})


@st.composite
def specs(draw):
    mode = draw(st.sampled_from(list(MODES.values())))
    engine = draw(st.sampled_from(ENGINE_WORDS))
    cases_given = draw(cases) if Argument.CASES in mode.arguments else ()
    world_size, cluster = draw(clusters() | st.tuples(st.integers(0, 1000), st.none()))
    return RunSpec(
        engine=engine.word,
        dtype=engine.dtype,
        mode=mode.word,
        task=mode.task,
        split=mode.split,
        options=draw(task_options(mode, cases_given)),
        cases=cases_given,
        batch_sizes=draw(batch_sizes(mode, cases_given)) if Argument.BATCH in mode.arguments else (),
        model=draw(st.sampled_from((*KEYS, "auto"))),
        weights=draw(paths),
        chat=draw(st.booleans()),
        lora=draw(st.none() | paths),
        trust_remote_code=draw(st.booleans()),
        kw_args=draw(st.sampled_from((None, '{"encrypt_enable": 1}', '{"a": "encrypted"}'))),
        world_size=world_size,
        cluster=cluster,
        parallel=draw(st.just(Parallel()) | st.builds(Parallel, *[degrees] * 8)),
        max_position_embeddings=draw(st.none() | counts),
    )


@given(specs())
def test_the_words_of_a_spec_ask_for_that_spec(spec):
    assert parse(to_words(spec), modes=MODES, model_keys=KEYS) == spec


@pytest.mark.parametrize(
    "command",
    [
        "pa_fp16 full_BoolQ 1 gemma W 8",
        "fa full_MMLU 5 4 llama W 2",
        "pa_fp16 performance '[[2048,2048],[256,256]]' 1 llama W 8",
        "pa_fp16 performance '[[2048,2048],[256,256]]' '[[1,4],[8]]' 2 prefill_length 100 llama W 8",
        "pa_fp16 performance '[[2048,2048]]' '[1,4]' dataset boolq padding INF llama chat W 8",
        "pa_fp16 performance_maxbs '[[256,256],[512,512]]' '[[1,2048],[1,2048]]' 50 llama W 4",
        "fake performance_maxbs '[[256,256]]' '[[1,10]]' 0.5 llama W 4 4096",
        "fake full_NeedleBench 32k 1 llama lora a.jsonl W trust_remote_code '{\"encrypt\": 1}' 0",
        "fake full_GSM8K '[1,4]' llama W r.json 16 2 8 10.0.0.1 '[1,16,-1,-1,-1,-1,-1,-1]' 10",
    ],
)
def test_a_canonical_command_is_written_as_it_was(command):
    spec = parse(shlex.split(command), modes=MODES, model_keys=KEYS)
    assert shlex.join(to_words(spec)) == command


@pytest.mark.parametrize(
    ("command", "canonical"),
    [
        ("fake full_BoolQ [8] llama base W", "fake full_BoolQ 8 llama W 0"),
        (
            "fake performance_maxbs [] 50.0 llama W 08 [] -1",
            "fake performance_maxbs '[[256,256],[512,512],[1024,1024],[2048,2048]]' "
            "'[[1,2048],[1,2048],[1,2048],[1,2048]]' 50 llama W 8",
        ),
        (
            "fake performance '[[1, 2]]' [[3]] dataset boolq llama W 1",
            "fake performance '[[1,2]]' 3 dataset boolq 1 llama W 1",
        ),
    ],
)
def test_other_spellings_become_canonical(command, canonical):
    spec = parse(shlex.split(command), modes=MODES, model_keys=KEYS)
    assert shlex.join(to_words(spec)) == canonical


def test_a_mode_of_a_plugin_is_written_with_its_modes():
    modes = all_modes([Mode("full_Mine", "mine", "full", (Argument.SHOTS, Argument.BATCH))])
    words = ["fake", "full_Mine", "3", "8", "llama", "W", "1"]
    spec = parse(words, modes=modes, model_keys=KEYS)
    assert to_words(spec, modes=modes) == words
    with pytest.raises(SpecError, match="'full_Mine' is unknown"):
        to_words(spec)
