"""An engine that serves the word `pa_fp16` and answers every question with A, without a model."""

from itertools import islice

from modeltest.api import Capability, Completion, Engine, EngineInfo, Finish


class TidesEngine(Engine):
    """Completes requests without a model."""

    name = "tides"
    words = ("pa_fp16",)
    capabilities = frozenset({Capability.GENERATE, Capability.CHOICE_LOGPROBS})
    needs_weights = False

    def load(self, spec, model):
        """Say what would be loaded."""
        return EngineInfo(
            engine=self.name,
            device="none",
            dtype=spec.dtype or "none",
            vocabulary_size=256,
            special_token_ids=(0,),
            context_tokens=None,
            versions={},
            load_s=0.0,
        )

    def complete(self, requests, *, batch_size):
        """Yield completions batch by batch."""
        remaining = iter(requests)
        while batch := list(islice(remaining, batch_size)):
            yield [self._complete_one(request) for request in batch]

    def close(self):
        """Free nothing."""

    def _complete_one(self, request):
        if request.choices:
            logprobs = tuple(-1.0 for _ in request.choices)
            return Completion(request.id, prompt_tokens=(1,), choice_logprobs=logprobs)
        return Completion(request.id, text="A", prompt_tokens=(1,), output_tokens=(65,), finish=Finish.STOP)
