"""Words and options of the command line, and the rank table that words name."""

import json
import shlex
from collections.abc import Iterator
from functools import cache

import click
from fuzz_places import Places
from surface import Surface, of_file

from modeltest import registry
from modeltest.api import DatasetInfo, ModelTestError, SpecError
from modeltest.cluster.rank_table import read_rank_table
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse
from modeltest.machine.rank_messages import Seal
from modeltest.models.profiles import model_keys
from modeltest.options.asked import COMMANDS, asked_by_words
from modeltest.plain.contracts import to_plain
from modeltest.run.planning.plan import plan

WORDS = (
    "pa_fp16 full_BoolQ 1 gemma W 8",
    "pa_fp16 performance [[2048,2048],[1,2]] [1,4] llama W 8",
    "fake performance_maxbs [[64,16]] [[1,32]] 200 llama none 1",
    "pa_bf16 full_MMLU 5 8 qwen chat W trust_remote_code 16 2 0 10.0.0.1 [1,-1] 4096",
    "fake performance [[16,4]] 1 prefill_batch_size 4 dataset boolq 1 llama none 1",
    'fake precision_single [[8,4],[4,4]] ["hello","hi"] 2 llama none 1',
    "pa_fp16 full_CEval 5 16 [[1,2]] llama W lora L [1,2,-1,-1,-1,1,-1,-1] -1",
)
OPTIONS = (
    "accuracy --engine fake --task boolq --limit 5 --shots 2 --batch-size 4 --model none",
    "performance --engine fake --case 256,64 --case 8,4 --batch-size 1 --batch-size 8 --model none --seed 3",
    "maxbs --engine fake --case 64,16 --min-batch 1 --max-batch 32 --latency-limit-ms 50 --model none",
    "precision --engine fake --case 8,4 --batch-size 2 --model none --parallel dp=1,tp=2 --world-size 2",
    "generate --engine fake --model none --input-text hi --temperature 0.5 --top-k 3 --top-p 0.9 --do-sample",
    "lm-eval --engine fake --model none --tasks arc_easy --shots 1 --limit 2 --gen-kwargs temperature=0",
)
ROWS = DatasetInfo("boolq", "sample", "/data/boolq", "00", official=False, records=4, subjects=1)
RANK_TABLE = {
    "version": "1.0",
    "status": "completed",
    "server_count": "2",
    "server_list": [
        {
            "server_id": f"10.0.0.{node}",
            "container_ip": f"10.0.0.{node}",
            "device": [
                {
                    "device_id": str(chip),
                    "device_ip": f"10.1.{node}.{chip}",
                    "rank_id": str(2 * node - 2 + chip),
                }
                for chip in (0, 1)
            ],
        }
        for node in (1, 2)
    ],
}


def word_surfaces(places: Places) -> Iterator[Surface]:
    """Yield the surfaces of words, options, rank tables and what ranks tell each other."""
    table = json.dumps(RANK_TABLE).encode()
    yield of_file(places.scratch, "rank_table", table, lambda path: read_rank_table(str(path)))
    yield Surface("words", [words.encode() for words in WORDS], _parse, is_json=False)
    yield Surface("options", [words.encode() for words in OPTIONS], _options, is_json=False)
    yield Surface("prompt_input", [b"[[1,2],[3]]", b'["hello", "hi"]', b"[1, 2, 3]"], _prompt_input)
    yield Surface("rank_message", [json.dumps(to_plain(ROWS)).encode()], _rank_message)


def _text(data: bytes) -> str:
    """Return the words as Python hands them over: no NUL can be typed, bytes that are no text are refused."""
    return data.decode(errors="replace").replace("\0", "")


@cache
def _known():
    return {
        "modes": all_modes(registry.declared_modes()),
        "model_keys": model_keys(),
        "engines": registry.engine_names(),
    }


def _parse(data: bytes) -> object:
    return _planned(parse(_text(data).split(" "), **_known()))


def _options(data: bytes) -> object:
    try:
        name, *words = shlex.split(_text(data)) or [""]
    except ValueError:
        return None  # a shell would ask for the rest
    if name not in COMMANDS:
        return None
    try:
        return _planned(asked_by_words(name, words))
    except click.exceptions.Exit:
        return None  # --help


def _planned(spec):
    return plan(spec) if spec.weights == "none" else spec


def _prompt_input(data: bytes) -> object:
    from modeltest.tasks.given_prompts import parse_prompts

    return parse_prompts(_text(data), where="the prompt input")


def _rank_message(data: bytes) -> object:
    """Open what another rank may have sent: here its code is right, so that it is read."""
    seal = Seal("0123456789abcdef")
    sealed = seal._code(data, "x") + data
    try:
        return seal.open(sealed, DatasetInfo, about="x")
    except ModelTestError as problem:
        raise SpecError(str(problem)) from None
