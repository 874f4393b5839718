"""The routes of servers beside OpenAI's, by the names that dialects have for them. Data."""

from __future__ import annotations

from collections.abc import Mapping

from engines.endpoint.routes.mindie import MindieInfer
from engines.endpoint.routes.route import Route
from engines.endpoint.routes.sglang import SglangGenerate

NATIVES: Mapping[str, Route] = {"sglang": SglangGenerate(), "mindie": MindieInfer()}
