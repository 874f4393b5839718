import shlex

import pytest

from modeltest.api import (
    AUTO_WORLD_SIZE,
    Argument,
    BatchRange,
    Case,
    Cluster,
    Mode,
    Parallel,
    PromptSource,
    RunSpec,
    TaskOptions,
)
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse

MODES = all_modes([])
KEYS = ("gemma", "gpt2", "gptneox_20b", "internlm", "llama")


def read(command, **options):
    return parse(shlex.split(command), modes=MODES, model_keys=KEYS, **options)


def test_boolq_on_eight_chips():
    assert read("pa_fp16 full_BoolQ 1 gemma W 8") == RunSpec(
        engine="pa_fp16",
        mode="full_BoolQ",
        task="boolq",
        split="full",
        model="gemma",
        weights="W",
        dtype="float16",
        batch_sizes=((1,),),
        world_size=8,
    )


def test_ceval_takes_shots_before_the_batch():
    spec = read("pa_fp16 full_CEval 5 1 internlm W 8")
    assert spec.task == "ceval"
    assert spec.options == TaskOptions(shots=5)
    assert spec.batch_sizes == ((1,),)


def test_mmlu_with_fa_leaves_the_dtype_to_the_checkpoint():
    spec = read("fa full_MMLU 5 4 llama W 2")
    assert (spec.engine, spec.task, spec.dtype) == ("fa", "mmlu", None)
    assert (spec.options.shots, spec.batch_sizes, spec.world_size) == (5, ((4,),), 2)


def test_performance_of_four_cases():
    spec = read(
        "pa_fp16 performance [[2048,2048],[1024,1024],[512,512],[256,256]] 1 gptneox_20b W 8",
    )
    assert spec.cases == (Case(2048, 2048), Case(1024, 1024), Case(512, 512), Case(256, 256))
    assert (spec.task, spec.split, spec.batch_sizes) == ("performance", "", ((1,),))
    assert spec.options == TaskOptions()


def test_max_batch_has_ranges_and_a_limit_but_no_batch():
    spec = read("pa_fp16 performance_maxbs [[256,256],[512,512]] [[1,2048],[1,2048]] 50 internlm W 4")
    assert spec.cases == (Case(256, 256), Case(512, 512))
    assert spec.options.batch_ranges == (BatchRange(1, 2048), BatchRange(1, 2048))
    assert spec.options.latency_limit_ms == 50.0
    assert (spec.batch_sizes, spec.world_size) == ((), 4)


def test_the_cpu_reference_on_one_chip():
    spec = read("hf_fp32 full_BoolQ 16 gpt2 W 1")
    assert (spec.dtype, spec.model, spec.batch_sizes, spec.world_size) == ("float32", "gpt2", ((16,),), 1)


@pytest.mark.parametrize(("word", "task"), [(mode.word, mode.task) for mode in MODES.values()])
def test_every_mode_is_parsed_completely(word, task):
    texts = {
        Argument.CASES: "[[256,128]]",
        Argument.RANGES: "[[1,10]]",
        Argument.LIMIT_MS: "50",
        Argument.PROMPT: "prompts.txt",
        Argument.SHOTS: "0",
        Argument.CONTEXT: "4k",
        Argument.BATCH: "10",
        Argument.PREFILL: "",
    }
    arguments = " ".join(texts[argument] for argument in MODES[word].arguments)
    spec = read(f"fake {word} {arguments} llama W 1")
    assert (spec.mode, spec.task, spec.split) == (word, task, MODES[word].split)
    assert (spec.weights, spec.world_size) == ("W", 1)


def test_a_mode_of_a_plugin_is_parsed():
    modes = all_modes([Mode("full_Mine", "mine", "full", (Argument.SHOTS, Argument.BATCH))])
    spec = parse(["fake", "full_Mine", "3", "8", "llama", "W", "1"], modes=modes, model_keys=KEYS)
    assert (spec.task, spec.options.shots) == ("mine", 3)


def test_an_engine_plugin_is_an_engine_word():
    spec = read("vllm full_BoolQ 1 llama W 1", engines=("vllm",))
    assert (spec.engine, spec.dtype) == ("vllm", None)


def test_zero_shots_are_shots():
    assert read("fake full_MMLU 0 4 llama W 1").options.shots == 0


@pytest.mark.parametrize("batch", ["[1,4]", "1,4", "'[1, 4]'"])
def test_several_batch_sizes_for_accuracy(batch):
    assert read(f"fake full_GSM8K {batch} llama W 1").batch_sizes == ((1, 4),)


def test_one_list_of_batch_sizes_per_case():
    spec = read("fake performance [[256,256],[512,512]] [[1,4],[8]] llama W 1")
    assert spec.batch_sizes == ((1, 4), (8,))
    assert spec.batch_sizes_of(1) == (8,)


def test_one_list_of_batch_sizes_serves_all_cases():
    spec = read("fake performance [] 1,10 llama W 1")
    assert len(spec.cases) == 4
    assert spec.batch_sizes_of(3) == (1, 10)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", TaskOptions()),
        ("4", TaskOptions(prefill_batch_size=4)),
        ("prefill_length 8192", TaskOptions(prefill_length=8192)),
        ("dataset boolq", TaskOptions(prompt_source=PromptSource("boolq", padding=False, batch_group=1))),
        ("dataset gsm8k INF", TaskOptions(prompt_source=PromptSource("gsm8k", batch_group=None))),
        ("dataset ceval padding", TaskOptions(prompt_source=PromptSource("ceval", True, 1))),
        ("dataset customize padding 20", TaskOptions(prompt_source=PromptSource("customize", True, 20))),
        (
            "10 prefill_length 100 dataset humaneval padding INF",
            TaskOptions(
                prefill_batch_size=10,
                prefill_length=100,
                prompt_source=PromptSource("humaneval", True, None),
            ),
        ),
    ],
)
def test_performance_takes_prefill_and_dataset_words(words, options):
    spec = read(f"fake performance [[256,256]] 1 {words} llama W 1")
    assert spec.options == options
    assert (spec.model, spec.weights) == ("llama", "W")


def test_max_batch_without_ranges_searches_1_to_2048_in_every_case():
    # The predecessor's default could not match any number of cases.
    spec = read("fake performance_maxbs [[256,256],[512,512]] 49.5 llama W 1")
    assert spec.options.batch_ranges == (BatchRange(1, 2048), BatchRange(1, 2048))
    assert spec.options.latency_limit_ms == 49.5


@pytest.mark.parametrize("mode", ["performance_single", "precision_single"])
def test_a_single_run_takes_prompts(mode):
    spec = read(f'fake {mode} [[256,256]] \'["hello","what is your name"]\' 2 llama W 8')
    assert spec.options.prompt_input == '["hello","what is your name"]'
    assert (spec.cases, spec.batch_sizes) == ((Case(256, 256),), ((2,),))


def test_needlebench_takes_a_context_in_tokens():
    spec = read("fake full_NeedleBench 128k 1 llama W 8")
    assert spec.options == TaskOptions(context_tokens=131072)


@pytest.mark.parametrize(("word", "chat"), [("chat", True), ("base", False), ("", False)])
def test_chat_stands_after_the_model(word, chat):
    spec = read(f"fake full_BoolQ 1 llama {word} W 1")
    assert (spec.chat, spec.weights) == (chat, "W")


def test_lora_names_a_file():
    spec = read("fake full_BoolQ 1 llama chat lora adapters.jsonl W 1")
    assert (spec.lora, spec.weights, spec.chat) == ("adapters.jsonl", "W", True)


def test_trust_remote_code_stands_after_the_weights():
    assert read("fake full_BoolQ 1 llama W trust_remote_code 1").trust_remote_code
    assert not read("fake full_BoolQ 1 llama W 1").trust_remote_code


def test_kw_args_stand_before_the_place():
    spec = read("""fake full_BoolQ 1 llama W trust_remote_code '{"encrypt_enable": 1}' 4""")
    assert (spec.kw_args, spec.world_size) == ('{"encrypt_enable": 1}', 4)


@pytest.mark.parametrize("chips", [1, 8, 10, 16, 20, 40, 100])
def test_chip_counts_may_contain_zeros(chips):
    assert read(f"fake full_BoolQ 1 llama W {chips}").world_size == chips


@pytest.mark.parametrize("rest", ["", "0"])
def test_zero_or_no_chips_ask_for_what_the_profile_says(rest):
    assert read(f"fake full_BoolQ 1 llama W {rest}").world_size == AUTO_WORLD_SIZE


def test_parallel_degrees_may_follow_without_chips():
    spec = read("fake full_BoolQ 1 llama W [2,4]")
    assert (spec.world_size, spec.parallel) == (AUTO_WORLD_SIZE, Parallel(dp=2, tp=4))


def test_parallel_degrees_and_maximum_position_follow_the_chips():
    spec = read("fake full_BoolQ 1 llama W 8 [1,8,-1,8,1] 4096")
    assert spec.parallel == Parallel(dp=1, tp=8, moe_tp=8, moe_ep=1)
    assert spec.max_position_embeddings == 4096


def test_a_maximum_position_may_follow_the_chips_directly():
    spec = read("fake full_BoolQ 1 llama W 8 2048")
    assert (spec.world_size, spec.parallel, spec.max_position_embeddings) == (8, Parallel(), 2048)


def test_a_maximum_position_of_minus_one_is_unset():
    assert read("fake full_BoolQ 1 llama W 8 [] -1").max_position_embeddings is None


def test_a_rank_table_asks_for_several_nodes():
    spec = read("pa_bf16 performance [[256,256]] 1 llama W ranks.json 32 4 24 10.0.0.1")
    assert spec.world_size == 32
    assert spec.cluster == Cluster("ranks.json", nodes=4, rank_start=24, master_address="10.0.0.1")


def test_every_word_survives_a_multi_node_run():
    # The predecessor dropped lora and kw_args here.
    spec = read(
        "pa_bf16 full_BoolQ 1 llama chat lora a.jsonl W trust_remote_code '{\"encrypt\": 1}' "
        "ranks.json 20 2 10 10.0.0.1 [1,20] 4096"
    )
    assert (spec.lora, spec.kw_args, spec.chat, spec.trust_remote_code) == (
        "a.jsonl",
        '{"encrypt": 1}',
        True,
        True,
    )
    assert (spec.world_size, spec.parallel, spec.max_position_embeddings) == (20, Parallel(dp=1, tp=20), 4096)


def test_the_model_key_auto_is_always_accepted():
    assert parse(["fake", "full_BoolQ", "1", "auto", "W", "1"], modes=MODES, model_keys=()).model == "auto"


def test_a_model_key_may_equal_another_word():
    spec = parse(
        ["fake", "full_BoolQ", "1", "chat", "chat", "W", "1"], modes=MODES, model_keys=("chat", "lora")
    )
    assert (spec.model, spec.chat) == ("chat", True)


def test_weights_are_kept_as_given():
    assert read("fake full_BoolQ 1 llama '../my weights/x' 1").weights == "../my weights/x"


def test_options_that_have_no_word_keep_their_defaults():
    spec = read("fake full_BoolQ 1 llama W 1")
    assert (spec.seed, spec.limit, spec.output_dir, spec.engine_options) == (0, None, "outputs", {})
