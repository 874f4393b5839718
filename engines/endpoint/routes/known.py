"""The routes of servers beside OpenAI's, by the names that dialects have for them. Data."""

from __future__ import annotations

from collections.abc import Mapping

from engines.endpoint.routes.mindie import MindieInfer
from engines.endpoint.routes.route import Route
from engines.endpoint.routes.sglang import SglangGenerate
from engines.endpoint.routes.tgi import TgiGenerate, Write


def known_routes(write: Write) -> Mapping[str, Route]:
    """Return the routes; those that take texts alone have token ids written as one by `write`."""
    return {"sglang": SglangGenerate(), "mindie": MindieInfer(), "tgi": TgiGenerate(write)}
