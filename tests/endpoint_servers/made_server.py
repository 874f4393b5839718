"""An OpenAI-compatible server with a made model.

python made_server.py DIALECT [--weights base|finetune|int4|noise1e-5] [--port 0] [--log FILE] ...

It prints `listening on PORT` and answers until it is terminated. Each request becomes a line of JSON in the
log: path, body, status, whether it was answered whole, output tokens, and when tokens were sent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import MISSING, fields

from dialect import Dialect, Settings
from llama_cpp_dialect import LlamaCppDialect
from made_http import Log, serve
from made_model import WEIGHTS, MadeModel
from mindie_dialect import MindieDialect
from plain_dialect import PlainDialect
from sglang_dialect import SglangDialect
from tgi_dialect import TgiDialect
from transformers_dialect import TransformersDialect
from vllm_dialect import VllmDialect

DIALECTS: dict[str, type[Dialect]] = {
    "vllm": VllmDialect,
    "sglang": SglangDialect,
    "tgi": TgiDialect,
    "mindie": MindieDialect,
    "llama_cpp": LlamaCppDialect,
    "transformers": TransformersDialect,
    "plain": PlainDialect,
}
_KINDS = {"int": int, "float": float, "str": str, "int | None": int, "str | None": str}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every server takes: where it listens, its log, its core, and each field of `Settings`."""
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--core", type=int, help="the one core it may use")
    for field in fields(Settings):
        name = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            parser.add_argument(name, action="store_true")
        elif field.name in ("ignored", "own_ignored"):
            parser.add_argument(name, type=lambda text: frozenset(text.split(",")), default=frozenset())
        else:
            default = None if field.default is MISSING else field.default
            parser.add_argument(name, type=_KINDS[str(field.type)], default=default)


def settings_of(words: argparse.Namespace) -> Settings:
    """Return the settings that were given."""
    return Settings(**{field.name: getattr(words, field.name) for field in fields(Settings)})


async def run(dialect: Dialect, words: argparse.Namespace) -> None:
    """Listen until the process is ended."""
    if words.core is not None:
        os.sched_setaffinity(0, {words.core})
    server = await serve(dialect.handle, words.port)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    if dialect.settings.weights_later is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, dialect.change_weights)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve one dialect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("--weights", choices=WEIGHTS, default="base")
    add_options(parser)
    words = parser.parse_args()
    made = DIALECTS[words.dialect](MadeModel(words.weights), settings_of(words), Log(words.log))
    with suppress(KeyboardInterrupt):
        asyncio.run(run(made, words))


if __name__ == "__main__":
    main()
