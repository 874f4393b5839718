"""The bridge on the `hf` engine against lm-evaluation-harness's own model class, on the same checkpoints."""

from dataclasses import replace

import pytest
from tiny_tasks import TASKS, answers

from engines.hf.engine import HFEngine
from modeltest.api import ModelInfo, RunSpec

pytest.importorskip("lm_eval")
pytest.importorskip("accelerate")

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
TOLERANCE = 1e-4

# Both sides are run for their numbers; what their packages warn of is theirs.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def our_model(directory, *, context_tokens):
    from modeltest.lm_eval.bridge import EngineLM

    spec = RunSpec(
        engine="hf_fp32",
        mode="lm_eval",
        task="lm_eval",
        model="m",
        weights=str(directory),
        dtype="float32",
        trust_remote_code=True,
        batch_sizes=((3,),),
    )
    info = ModelInfo("m", "m", str(directory), "m", "float32", None, context_tokens, 128, 1, None)
    engine = HFEngine()
    return EngineLM(engine, engine.load(spec, info), spec, tell=lambda *_: None)


def its_model(directory, *, context_tokens):
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=str(directory),
        dtype="float32",
        device="cpu",
        batch_size=3,
        trust_remote_code=True,
        max_length=context_tokens,
    )


def evaluate(model, folder, **options):
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    return simple_evaluate(
        model=model,
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=folder),
        bootstrap_iters=0,
        batch_size=3,
        **options,
    )


def compare(ours, its):
    for task in TASKS:
        for mine, theirs in zip(answers(ours["samples"][task]), answers(its["samples"][task]), strict=True):
            assert type(mine) is type(theirs)
            assert mine == (theirs if isinstance(theirs, str) else pytest.approx(theirs, abs=TOLERANCE))
        for name, value in its["results"][task].items():
            expected = value if isinstance(value, str) else pytest.approx(value, rel=TOLERANCE)
            assert ours["results"][task][name] == expected, (task, name)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("context_tokens", [8192, 48], ids=["whole", "cut"])
def test_numbers_are_those_of_its_own_model_class(
    family, context_tokens, demo_model, tasks_folder, only_tiny_tasks
):
    directory = demo_model(family)
    options = {"num_fewshot": 2}
    ours = evaluate(our_model(directory, context_tokens=context_tokens), tasks_folder, **options)
    its = evaluate(its_model(directory, context_tokens=context_tokens), tasks_folder, **options)
    compare(ours, its)
    assert len(answers(ours["samples"]["tiny_choice"])) == 28


@pytest.mark.parametrize("multiturn", [False, True])
def test_a_chat_template_is_applied_as_its_own_model_class_does(
    multiturn, demo_model, tasks_folder, only_tiny_tasks
):
    directory = demo_model("qwen2")
    options = {
        "num_fewshot": 2,
        "apply_chat_template": True,
        "fewshot_as_multiturn": multiturn,
        "system_instruction": "Be brief.",
    }
    ours = evaluate(our_model(directory, context_tokens=8192), tasks_folder, **options)
    its = evaluate(its_model(directory, context_tokens=8192), tasks_folder, **options)
    compare(ours, its)
    prompts = [sample["arguments"] for sample in ours["samples"]["tiny_choice"]]
    assert prompts == [sample["arguments"] for sample in its["samples"]["tiny_choice"]]
    assert "Be brief." in prompts[0][0][0]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_greedy_texts_are_known_to_be_greedy(family, demo_model):
    from lm_eval.api.instance import Instance

    def ask(model, *pairs):
        return model.loglikelihood(
            [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
        )

    directory = demo_model(family)
    ours, its = (make(directory, context_tokens=8192) for make in (our_model, its_model))
    contexts = [f"The sea is salt {number} times:" for number in range(12)]
    options = {"until": [], "max_gen_toks": 1, "do_sample": False}
    texts = ours.generate_until(
        [Instance("generate_until", {}, (context, options), 0) for context in contexts]
    )
    pairs = [*zip(contexts, texts, strict=True), *((context, "never") for context in contexts)]
    pairs = [*(pair for pair in pairs if pair[1]), ("", "The sea"), ("", " yes")]
    mine, theirs = ask(ours, *pairs), ask(its, *pairs)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in theirs]
    assert {greedy for _, greedy in mine} == {False, True}
    assert [value for value, _ in mine] == pytest.approx([value for value, _ in theirs], abs=TOLERANCE)


def test_the_batch_size_changes_no_answer(demo_model, tasks_folder, only_tiny_tasks):
    directory = demo_model("llama")
    one, many = (our_model(directory, context_tokens=8192) for _ in range(2))
    many._spec = replace(many._spec, batch_sizes=((16,),))
    compare(evaluate(one, tasks_folder), evaluate(many, tasks_folder))
