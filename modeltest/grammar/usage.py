"""What each word of the `run.sh` grammar is, in the words of its error messages and usage texts."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import wrap

from modeltest.api import PREDECESSOR_MODES, Argument, Mode
from modeltest.grammar.modes import ENGINE_WORDS
from modeltest.grammar.words import CONTEXT_WORDS, PERFORMANCE_DATASETS


@dataclass(frozen=True, slots=True)
class Word:
    """A place in the grammar: its name in syntax lines, and its meaning after `expected`."""

    name: str
    meaning: str


TYPE = Word("TYPE", "the engine (such as pa_fp16)")
MODE = Word("MODE", "the mode (such as full_BoolQ or performance)")
SHOTS = Word("SHOTS", "the number of worked examples before each question (0 or more, such as 5)")
BATCH = Word("BATCH", "the batch size (a number such as 8, or [1,4])")
BATCH_PER_CASE = Word("BATCH", "the batch size (a number such as 8, or [1,4], or [[1,4],[8]] per case)")
CASES = Word(
    "CASES",
    "the cases (input and output tokens, such as [[2048,2048],[512,512]]; "
    "[] for 256, 512, 1024 and 2048 of each)",
)
RANGES = Word("RANGES", "the batch sizes to search (such as [[1,2048],[1,512]]: lowest and highest per case)")
LIMIT_MS = Word("MS", "the latency limit per token in milliseconds (a number above zero, such as 50)")
CONTEXT = Word("CTX", f"the context length ({', '.join(CONTEXT_WORDS)})")
PROMPT = Word(
    "PROMPTS",
    'the prompts (in quotes: token ids [1,2,3], texts ["hello","hi"], lists of token ids; or a file of one)',
)
PREFILL_BATCH = Word("PREFILL_BATCH", "the prefill batch size (a number such as 4)")
PREFILL_LENGTH = Word("TOKENS", "the prefill length in tokens (a number such as 8192)")
DATASET = Word("DS", f"the dataset the prompts come from ({', '.join(PERFORMANCE_DATASETS)})")
GROUPS = Word(
    "GROUPS", "the number of batches to measure at least, each of other rows (1 or more; INF for all)"
)
PACK = Word("PACK", "the reference pack (a file of modeltest reference make, such as gemma.ref)")
MODEL = Word("MODEL", "the model key (such as llama; `auto` takes it from config.json)")
LORA = Word("JSONL", "the file that names the LoRA adapter of each request")
WEIGHTS = Word("WEIGHTS", "the folder of the weights")
KW_ARGS = Word("KW", 'engine options (JSON that contains encrypt, such as {"encrypt_enable": 1})')
PLACE = Word("CHIPS", "the number of chips (0: what the model's profile says) or a rank table file")
WORLD = Word("WORLD", "the number of chips of all nodes (1 or more)")
NODES = Word("NODES", "the number of nodes (a divisor of WORLD)")
RANK_START = Word("RANK_START", "the first rank of this node (0, or a multiple of WORLD/NODES below WORLD)")
MASTER_IP = Word("MASTER_IP", "the address of the first node (such as 10.0.0.1)")
PARALLEL = Word("PAR", "up to 8 parallel degrees ([dp,tp,sp,moe_tp,moe_ep,pp,microbatch,cp]; -1 is unset)")
MAX_POSITION = Word("MAXPOS", "the maximum position (a number such as 4096; -1 is unset)")


_TYPE_LINE = Word("TYPE", f"the engine ({', '.join(engine.word for engine in ENGINE_WORDS)})")


_LONGEST = 140
"""Characters of a line of the table."""


@dataclass(frozen=True, slots=True)
class _ArgumentUsage:
    syntax: str
    lines: tuple[Word, ...]
    example: tuple[str, ...]


_ARGUMENTS: Mapping[Argument, _ArgumentUsage] = {
    Argument.SHOTS: _ArgumentUsage("SHOTS", (SHOTS,), ("5",)),
    Argument.BATCH: _ArgumentUsage("BATCH", (BATCH,), ("8",)),
    Argument.CASES: _ArgumentUsage("CASES", (CASES,), ("[[256,256],[512,512]]",)),
    Argument.RANGES: _ArgumentUsage(
        "[RANGES]",
        (Word("RANGES", f"{RANGES.meaning}; without it 1 to 2048 in every case"),),
        ("[[1,2048],[1,512]]",),
    ),
    Argument.LIMIT_MS: _ArgumentUsage("MS", (LIMIT_MS,), ("50",)),
    Argument.CONTEXT: _ArgumentUsage("CTX", (CONTEXT,), ("32k",)),
    Argument.PROMPT: _ArgumentUsage("PROMPTS", (PROMPT,), ('["hello","hi"]',)),
    Argument.PACK: _ArgumentUsage("PACK", (PACK,), ("gemma.ref",)),
    Argument.PREFILL: _ArgumentUsage(
        "[PREFILL_BATCH] [prefill_length TOKENS] [dataset DS [padding] [GROUPS|INF]]",
        (
            PREFILL_BATCH,
            PREFILL_LENGTH,
            DATASET,
            Word(
                "padding", "repeat or cut each prompt to exactly the case's input length; without it only cut"
            ),
            Word("GROUPS", f"{GROUPS.meaning}; without it 1"),
        ),
        (),
    ),
}

_TAIL = (
    "MODEL [chat|base] [lora JSONL] WEIGHTS [trust_remote_code] [KW] "
    "[CHIPS | RANKTABLE WORLD NODES RANK_START MASTER_IP] [PAR] [MAXPOS]"
)

_TAIL_LINES = (
    MODEL,
    Word("chat|base", "whether to lay prompts out by the chat template; base when absent"),
    LORA,
    WEIGHTS,
    Word("trust_remote_code", "run the Python code that comes with the weights"),
    KW_ARGS,
    Word("CHIPS", "the number of chips; 0 or absent: what the model's profile says (write 0 before MAXPOS)"),
    Word("RANKTABLE", "the rank table file of a run over several nodes; the next four words go with it"),
    WORLD,
    NODES,
    RANK_START,
    MASTER_IP,
    PARALLEL,
    MAX_POSITION,
)


def takes_batch_per_case(mode: Mode) -> bool:
    """Say whether BATCH may be a list per case: only where the words of `performance` follow."""
    return Argument.PREFILL in mode.arguments


def batch_word(mode: Mode) -> Word:
    """Return what BATCH is in `mode`."""
    return BATCH_PER_CASE if takes_batch_per_case(mode) else BATCH


def usage(mode: Mode | None) -> str:
    """Return the usage of `mode`: its syntax, one line per word and an example; all modes for `None`."""
    if mode is None:
        return _overview(PREDECESSOR_MODES)
    lines = [_TYPE_LINE]
    for argument in mode.arguments:
        lines.extend([batch_word(mode)] if argument is Argument.BATCH else _ARGUMENTS[argument].lines)
    lines.extend(_TAIL_LINES)
    return "\n".join(
        [
            f"usage: run.sh TYPE {_syntax(mode)} {_TAIL}",
            *_table(lines),
            f"example: {shlex.join(['run.sh', *example_words(mode)])}",
        ]
    )


def example_words(mode: Mode) -> tuple[str, ...]:
    """Return the words of the example command of `mode`."""
    arguments = (word for argument in mode.arguments for word in _ARGUMENTS[argument].example)
    return ("pa_fp16", mode.word, *arguments, "llama", "/data/llama", "8")


def _overview(modes: Iterable[Mode]) -> str:
    words_by_syntax: dict[str, list[str]] = {}
    for mode in modes:
        words_by_syntax.setdefault(_syntax(mode).removeprefix(mode.word), []).append(mode.word)
    lines = [f"usage: run.sh TYPE MODE... {_TAIL}"]
    lines += _table((_TYPE_LINE, Word("MODE...", "one of these, with the words after it")))
    for syntax, words in words_by_syntax.items():
        names = f"({' | '.join(words)})" if len(words) > 1 else words[0]
        lines += _wrap(names + syntax)
    lines += _table(_TAIL_LINES)
    lines.append("example: run.sh pa_fp16 full_BoolQ 8 llama /data/llama 8")
    return "\n".join(lines)


def _wrap(text: str) -> list[str]:
    return wrap(text, 100, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)


def _syntax(mode: Mode) -> str:
    return " ".join([mode.word, *(_ARGUMENTS[argument].syntax for argument in mode.arguments)])


def _table(lines: Iterable[Word]) -> list[str]:
    """Return the rows, a long meaning on as many lines as it needs."""
    behind = " " * 21
    return [
        text
        for line in lines
        for text in wrap(
            f"  {line.name:<18} {line.meaning}", _LONGEST, subsequent_indent=behind, break_on_hyphens=False
        )
    ]
