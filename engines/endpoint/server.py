"""One served model: how it is asked, and what was found out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.endpoint.dialects import NEUTRAL, Recognized
from engines.endpoint.transport.client import Client
from modeltest.api import Ability, Sampling

COMPLETIONS = "/completions"
CHAT = "/chat/completions"

Prompt = str | Sequence[int]


@dataclass(slots=True)
class Server:
    """A model of an endpoint; `abilities` are those that were looked for, by name."""

    client: Client
    model: str
    seen: Recognized
    abilities: dict[str, Ability] = field(default_factory=dict)
    has_arrivals: bool = False
    """Whether times of streams are those at which this kernel had their bytes; else of the reads."""

    def can(self, name: str) -> bool:
        """Say whether an ability was seen."""
        found = self.abilities.get(name)
        return found is not None and found.is_there is True

    def completion(self, prompt: Prompt, *, new_tokens: int, **fields: Any) -> dict[str, Any]:
        """Return the body of a completion that takes the likeliest token, unless `fields` say otherwise."""
        asked = prompt if isinstance(prompt, str) else list(prompt)
        return self._body({"prompt": asked, "max_tokens": new_tokens}, fields)

    def chat(self, turns: Sequence[Mapping[str, str]], *, new_tokens: int, **fields: Any) -> dict[str, Any]:
        """Return the body of a chat that takes the likeliest token, unless `fields` say otherwise."""
        return self._body({"messages": list(turns), "max_tokens": new_tokens}, fields)

    def takes(self, name: str) -> bool:
        """Say whether the server may be sent a field that OpenAI's interface does not have."""
        return name in self.seen.dialect.fields

    def _body(self, own: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        neutral: dict[str, Any] = dict(zip(NEUTRAL, (1, 0, 0), strict=True))
        for name in ("repetition_penalty", "repeat_penalty"):
            if self.takes(name):
                neutral[name] = 1
        if self.takes("cache_prompt"):
            neutral["cache_prompt"] = False  # llama.cpp says that answers may differ with what is in it
        return {"model": self.model, "temperature": 0, **neutral, **own, **fields}


def sampling_fields(server: Server, sampling: Sampling, seed: int) -> dict[str, Any]:
    """Return the fields of a request that draws; what is not set restricts nothing, as in transformers."""
    fields: dict[str, Any] = {
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
    }
    if server.takes("top_k"):
        fields["top_k"] = sampling.top_k or server.seen.dialect.off_top_k
    if server.takes("min_p"):
        fields["min_p"] = 0
    if server.takes("seed"):
        fields["seed"] = seed
    return fields
