"""Generation: the user's prompts and what the model made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeltest.api import Finding, FindingCode, FlatMetric, GenerationSummary, RunResult, Verdict
from modeltest.present.presentation import Check, Column, Phrase, Presentation, Row, Said

_NAMED_PROMPTS = 3


class GenerationPresentation(Presentation[GenerationSummary]):
    """What is shown of generated texts."""

    kind = "generation"
    summary = GenerationSummary
    columns = (*map(Column, ("prompt", "tokens", "text", "new tokens")), Column("end", is_brief=False))

    def headline(self, summary: GenerationSummary) -> str:
        """Return how many prompts were answered."""
        return f"{len(summary.texts)} of {summary.expected} prompts"

    def gist(self, summary: GenerationSummary) -> Sequence[Phrase]:
        """Return how many prompts were answered."""
        return (Phrase(self.headline(summary), is_key=True),)

    def rows(self, summary: GenerationSummary) -> Iterator[Row]:
        """Yield prompts and texts."""
        for text in summary.texts:
            end = "failed" if text.error is not None else text.finish.value if text.finish else "-"
            cut = f" (cut by {text.cut_prompt_tokens})" if text.cut_prompt_tokens else ""
            tokens = f"{text.prompt_tokens}{cut}"
            said = Said(text.error or text.text or "")
            yield Row((Said(text.prompt), tokens, said, str(text.output_tokens), end))

    def checks(self, summary: GenerationSummary, result: RunResult) -> Iterator[Check]:
        """Yield the prompts: one that failed is an error."""
        for text in summary.texts:
            output = f"{text.prompt_tokens} prompt tokens, {text.output_tokens} new tokens"
            yield Check(f"prompt {text.index}", output, error=text.error)

    def metrics(self, summary: GenerationSummary, *, is_usable: bool) -> Iterator[FlatMetric]:
        """Yield how many prompts were asked, and how many failed."""
        yield FlatMetric("prompts", len(summary.texts))
        yield FlatMetric("failed_prompts", sum(text.error is not None for text in summary.texts))

    def judgement(
        self, summary: GenerationSummary, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return INVALID where prompts failed or were not asked."""
        failed = [text for text in summary.texts if text.error is not None]
        reasons = [
            Finding(FindingCode.PROMPT_FAILED, {"prompt": text.index, "error": text.error})
            for text in failed[:_NAMED_PROMPTS]
        ]
        if len(failed) > _NAMED_PROMPTS:
            counts = {"failed": len(failed), "prompts": summary.expected}
            reasons.append(Finding(FindingCode.PROMPTS_FAILED, counts))
        if len(summary.texts) != summary.expected or not summary.texts:
            asked = {"asked": len(summary.texts), "expected": summary.expected}
            reasons.append(Finding(FindingCode.PROMPTS_CUT_SHORT, asked))
        return Verdict.INVALID if reasons else Verdict.VALID, tuple(reasons)
