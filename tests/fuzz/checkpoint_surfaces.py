"""The files of a checkpoint: what plans a run, converts it, examines it or loads it in a worker."""

import io
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from fuzz_places import Places
from in_child import Bounds, in_child
from surface import Enter, Surface

from modeltest.api import EngineError, ModelInfo, RunSpec, Turn
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.run.worker.machine_errors import known_error

CONVERSATION = (Turn("system", "Be short."), Turn("user", "How are you?"))
LORA = {"adapter1": "one", "adapter2": "two"}
DESCRIPTION = {"model_quant_type": "W8A8", "model.layers.0.self_attn.q_proj.weight": "W8A8"}


def checkpoint_surfaces(places: Places) -> Iterator[Surface]:
    """Yield the surfaces of a checkpoint; those of weights and tokenizers are entered in child processes."""
    yield from _planned(places)
    yield from _loaded(places)
    yield from _converted(places)


def _copied(places: Places, name: str) -> Path:
    folder = places.scratch / f"checkpoint_{name}"
    shutil.copytree(places.model, folder)
    return folder


def _spec(folder: Path, **more: object) -> RunSpec:
    return RunSpec(engine="hf", mode="sample_BoolQ", task="boolq", model="auto", weights=str(folder), **more)


def _weights(places: Places) -> tuple[bytes, int]:
    """Return the weights and where their header ends."""
    whole = (places.model / "model.safetensors").read_bytes()
    return whole, 8 + struct.unpack("<Q", whole[:8])[0]


def _planned(places: Places) -> Iterator[Surface]:
    whole, end = _weights(places)
    names = [name for name in json.loads(whole[8:end]) if name != "__metadata__"]
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model.safetensors")}
    header = whole[8:end]

    def inspecting(name: str, write: Callable[[Path, bytes], None], **more: object) -> Enter:
        folder = _copied(places, name)
        spec = _spec(folder, **more)

        def enter(data: bytes) -> object:
            write(folder, data)
            return inspect_checkpoint(spec)

        return enter

    def put(name: str) -> Callable[[Path, bytes], None]:
        return lambda folder, data: _put(folder / name, data)

    lora = places.scratch / "lora.jsonl"
    lora.write_text('{"0": "adapter1"}\n', encoding="utf-8")
    config = (places.model / "config.json").read_bytes()
    yield Surface("config", [config, *_other_configs(config)], inspecting("config", put("config.json")))
    yield Surface("safetensors_header", [header], inspecting("header", _with_header(whole[end:])))
    yield Surface(
        "safetensors_bytes", [whole[: end + 64]], inspecting("bytes", put("model.safetensors")), is_json=False
    )
    yield Surface(
        "safetensors_index",
        [json.dumps(index).encode()],
        inspecting("index", put("model.safetensors.index.json")),
    )
    yield Surface(
        "quant_description",
        [json.dumps(DESCRIPTION).encode()],
        inspecting("quant", put("quant_model_description.json")),
    )
    yield Surface(
        "lora_folders",
        [json.dumps(LORA).encode()],
        inspecting("lora", put("lora_adapter.json"), lora=str(lora)),
    )


def _other_configs(config: bytes) -> Iterator[bytes]:
    """Yield configs with what some families have: a nested one, quantisation, code of their own."""
    plain = json.loads(config)
    yield json.dumps({**plain, "text_config": plain}).encode()
    yield json.dumps(
        {**plain, "quantize": "w8a8", "rope_scaling": {"type": "linear", "factor": 2.0}}
    ).encode()
    yield json.dumps(
        {**plain, "auto_map": {"AutoModelForCausalLM": "m.M"}, "torch_dtype": "float32"}
    ).encode()
    yield json.dumps({**plain, "quantization_config": {"quant_method": "gptq", "bits": 4}}).encode()


def _with_header(tensors: bytes) -> Callable[[Path, bytes], None]:
    def write(folder: Path, data: bytes) -> None:
        _put(folder / "model.safetensors", struct.pack("<Q", len(data)) + data + tensors)

    return write


def _loaded(places: Places) -> Iterator[Surface]:
    """Yield what a worker loads: `inspect_checkpoint` has let it pass before.

    A worker that a signal ends is its supervisor's to report: `modeltest.run.supervisor.losses`.
    """
    whole, end = _weights(places)
    tokenizer = (places.model / "tokenizer.json").read_bytes()
    settings = (places.model / "tokenizer_config.json").read_bytes()
    template = json.loads(settings)["chat_template"].encode()
    seeds = [tokenizer, *_other_tokenizers(json.loads(tokenizer))]

    def loading(name: str, write: Callable[[Path, bytes], None], load: Callable[..., object]) -> Enter:
        folder = _copied(places, name)
        spec = _spec(folder)

        def enter(data: bytes) -> object:
            write(folder, data)
            try:
                return load(spec, inspect_checkpoint(spec))
            except BaseException as problem:  # as a worker tells it
                if (known := known_error(problem)) is not None:
                    raise known from None
                raise

        in_worker = in_child(
            enter, on_death=lambda number: EngineError(f"the worker was killed by signal {number}")
        )

        def entered(data: bytes) -> object:
            _import_for_children(places.model)
            return in_worker(data)

        return entered

    def put(name: str) -> Callable[[Path, bytes], None]:
        return lambda folder, data: _put(folder / name, data)

    yield Surface("tokenizer_json", seeds, loading("tokenizer", put("tokenizer.json"), _load_tokenizer))
    yield Surface(
        "tokenizer_config",
        [settings],
        loading("tokenizer_config", put("tokenizer_config.json"), _load_tokenizer),
    )
    specials = {
        "pad_token": "<|reserved_1534|>",
        "unk_token": {"content": "<|reserved_1535|>", "lstrip": False},
    }
    yield Surface(
        "special_tokens_map",
        [json.dumps(specials).encode()],
        loading("specials", put("special_tokens_map.json"), _load_tokenizer),
    )
    added = {"<|reserved_1534|>": 1534, "<|reserved_1535|>": 1535}
    yield Surface(
        "added_tokens",
        [json.dumps(added).encode()],
        loading("added", put("added_tokens.json"), _load_tokenizer),
    )
    yield from _slow_tokenizers(places, loading)
    yield Surface(
        "chat_template",
        list(_templates(template)),
        loading("template", put("chat_template.jinja"), _lay_out),
        is_json=False,
    )
    yield Surface("chat_template_text", list(_templates(template)), _laying_out(), is_json=False)
    generation = (places.model / "generation_config.json").read_bytes()
    for name, file, seed in (
        ("config_loaded", "config.json", (places.model / "config.json").read_bytes()),
        ("generation_config", "generation_config.json", generation),
    ):
        yield Surface(name, [seed], loading(name, put(file), _load_model))
    yield Surface(
        "safetensors_loaded", [whole[8:end]], loading("safetensors", _with_header(whole[end:]), _load_model)
    )
    yield Surface("tokenizer_counted", seeds, _counting(places))


@cache
def _import_for_children(model: Path) -> None:
    """Load the checkpoint as it is, once: what that imports need not be imported in every child."""
    spec = _spec(model)
    info = inspect_checkpoint(spec)
    _load_tokenizer(spec, info)
    _load_model(spec, info)


def _load_tokenizer(spec: RunSpec, info: ModelInfo) -> object:
    import transformers

    from engines.common.text_tokens import TextTokens
    from engines.common.tokenizer_loading import end_of_turn_ids, load_tokenizer

    tokenizer = load_tokenizer(transformers, info, trust_remote_code=False)
    end_of_turn_ids(tokenizer, spec, info)
    texts = TextTokens(tokenizer, embeddings=1536)
    return texts.as_prompt(texts.ids("The sea is salt."))


def _lay_out(spec: RunSpec, info: ModelInfo) -> object:
    import transformers

    from engines.common import chat_template
    from engines.common.chat_template import ChatTemplate, TemplateRefusal
    from engines.common.tokenizer_loading import load_tokenizer

    chat_template.CPU_S = 1.0  # what is bounded is tested elsewhere; here it should not take long
    template = ChatTemplate(load_tokenizer(transformers, info, trust_remote_code=False))
    try:
        return template.lay_out(CONVERSATION)
    except TemplateRefusal as problem:
        raise EngineError(str(problem)) from None  # of one question, which then has failed
    finally:
        template.close()


def _templates(own: bytes) -> Iterator[bytes]:
    yield own
    yield b"{% for m in messages %}{{ m.content | trim | tojson }}{% endfor %}"
    yield (
        b"{%- set ns = namespace(said=false, first='') %}{% macro turn(m) %}{{ m['role'] + ': ' }}"
        b"{{ m.content }}{% endmacro %}{% if messages[0]['role'] == 'system' %}"
        b"{% set ns.first = messages[0].content %}"
        b"{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}"
        b"{% for m in loop_messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        b"{{ raise_exception('turns must alternate') }}{% endif %}{{ turn(m) | upper }}"
        b"{% if loop.last and add_generation_prompt %}{{ dict(a=1).a ~ strftime_now('%Y') }}{% break %}"
        b"{% endif %}{% endfor %}{% generation %}{{ ns.first }}{% endgeneration %}"
    )


def _laying_out() -> Enter:
    """Return what the process of a chat template does with one: starting it each time takes too long."""
    from engines.common import template_process
    from engines.common.chat_template import MEMORY_BYTES, MOST_CHARACTERS

    turns = [{"role": turn.role, "content": turn.content} for turn in CONVERSATION]
    variables = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}

    def enter(data: bytes) -> None:
        try:
            template = template_process.compiled(data.decode(errors="replace"))
        except Exception as problem:
            raise EngineError(f"{type(problem).__name__}") from None  # then it is no template
        template_process._laid_out(template, turns, variables, MOST_CHARACTERS)

    return in_child(
        enter,
        on_death=lambda number: EngineError(f"the template was ended by signal {number}"),
        bounds=Bounds(1.0, MEMORY_BYTES),
    )


def _load_model(spec: RunSpec, info: ModelInfo) -> object:
    from engines.hf.model.checkpoint_loading import load_checkpoint

    return load_checkpoint(spec, info, "cpu")


def _counting(places: Places) -> Enter:
    """Return what `modeltest doctor --task` does with a tokenizer: counted where no worker is."""
    from modeltest.doctor import token_counts

    path = places.scratch / "counted.json"

    def enter(data: bytes) -> object:
        path.write_bytes(data)
        try:
            return token_counts.answer({"path": str(path), "texts": ["The sea is salt.", ""]})
        except BaseException as problem:
            raise EngineError(f"{type(problem).__name__}") from None  # then it is not counted

    return in_child(enter, on_death=lambda number: EngineError(f"not counted: signal {number}"))


def _other_tokenizers(bpe: dict) -> Iterator[bytes]:
    """Yield tokenizers of the other kinds, with their normalizers, splitters and decoders."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    words = ["[UNK]", "[CLS]", "[SEP]", "the", "sea", "is", "salt", "##s", "##t", "a", "b", "c", "d", "."]
    vocabulary = {word: number for number, word in enumerate(words)}
    piece = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    piece.normalizer = normalizers.BertNormalizer()
    piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    piece.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    piece.decoder = decoders.WordPiece()
    yield piece.to_str().encode()
    unigram = Tokenizer(models.Unigram([(word, -float(number)) for number, word in enumerate(words)], 0))
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    yield unigram.to_str().encode()
    level = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    level.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(),
        ]
    )
    level.enable_truncation(8)
    level.enable_padding(length=16)
    yield level.to_str().encode()
    yield json.dumps({**bpe, "model": {**bpe["model"], "byte_fallback": True, "dropout": None}}).encode()


def _slow_tokenizers(places: Places, loading: Callable[..., Enter]) -> Iterator[Surface]:
    """Yield vocabulary and merges of a tokenizer that comes without tokenizer.json."""
    model = json.loads((places.model / "tokenizer.json").read_bytes())["model"]
    merges = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]) + "\n"
    files = {"vocab.json": json.dumps(model["vocab"]).encode(), "merges.txt": merges.encode()}

    def put(changed: str) -> Callable[[Path, bytes], None]:
        def write(folder: Path, data: bytes) -> None:
            (folder / "tokenizer.json").unlink(missing_ok=True)
            settings = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|eos|>"}
            _put(folder / "tokenizer_config.json", json.dumps(settings).encode())
            for name, content in {**files, changed: data}.items():
                _put(folder / name, content)

        return write

    for name, content in files.items():
        yield Surface(
            name.replace(".", "_"),
            [content],
            loading(name, put(name), _load_tokenizer),
            is_json=name.endswith(".json"),
        )


def _converted(places: Places) -> Iterator[Surface]:
    """Yield torch files, as `modeltest convert` takes them."""
    from modeltest.convert.sources import find_torch_files

    def reading(name: str) -> Enter:
        from modeltest.convert.one_file import convert_file

        path, target = places.scratch / f"{name}.bin", places.scratch / f"{name}.safetensors"

        def enter(data: bytes) -> object:
            path.write_bytes(data)
            return convert_file(path, target)

        # Some pickles take for ever: as with the command, that is ended.
        return in_child(
            enter,
            on_death=lambda number: EngineError(f"{path} cannot be read: signal {number}"),
            bounds=Bounds(1.0),
        )

    yield Surface("torch_zip", list(_torch_files(is_zip=True)), reading("torch_zip"), is_json=False)
    yield Surface("torch_legacy", list(_torch_files(is_zip=False)), reading("torch_legacy"), is_json=False)
    index = {"metadata": {"total_size": 8}, "weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    folder = places.scratch / "torch_index"
    folder.mkdir()
    (folder / "pytorch_model-00001-of-00001.bin").write_bytes(next(_torch_files(is_zip=True)))

    def indexed(data: bytes) -> object:
        _put(folder / "pytorch_model.bin.index.json", data)
        return find_torch_files(folder)

    yield Surface("torch_index", [json.dumps(index).encode()], indexed)


class _Hostile:
    def __reduce__(self) -> tuple:
        return (os.system, ("exit 7",))


def _torch_files(*, is_zip: bool) -> Iterator[bytes]:
    import torch

    shared = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    for content in (
        {"a": shared, "b": shared.t(), "c": torch.ones(2, dtype=torch.bfloat16), "d": torch.tensor(3)},
        {"a": torch.zeros(0, 4), "step": 3, "nested": {"x": shared}},
    ):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=is_zip)
        yield buffer.getvalue()
    if not is_zip:
        yield pickle.dumps({"a": _Hostile()}, protocol=2)
        yield pickle.dumps({"a": bytearray(8), "b": {1, 2}}, protocol=2)


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
