"""The contract of every engine, on a made server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from endpoint_engine import loaded_from
from running_servers import made_server

from modeltest.testing.engine_contract import EngineContract, Loaded


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with made_server(tmp_path_factory.mktemp("server"), "vllm") as server:
        yield from loaded_from(server.url)


class TestOnAMadeServer(EngineContract):
    """All of it, unchanged."""
