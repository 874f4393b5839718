"""A reference pack: questions as token ids with the reference's answers, and what rounding does to them.

One file holds all of it, so that a candidate is judged without the reference's weights, the datasets or the
tokenizer. `modeltest.packs` reads and writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from modeltest.api.exchange import ChoiceRule, Record, Turn
from modeltest.api.facts import DatasetInfo
from modeltest.api.spec import RunSpec

WORDING_PREFIX = "wording/"
"""Begins the id of a question that is asked as text."""


class Role(str, Enum):
    """What the answers of a computation stand for in a pack."""

    REFERENCE = "reference"
    """The checkpoint in the dtype that is taken for right."""

    TWIN = "twin"
    """The same checkpoint computed rightly in a candidate's dtype: how far rounding alone goes."""

    DIRECTION = "direction"
    """The reference with one small fault of known kind: where the answers go when that is wrong."""


@dataclass(frozen=True, slots=True)
class Computation:
    """Who gave one set of answers of a pack, and how."""

    name: str
    """Unique in the pack, such as `bf16-batch-1`."""

    role: Role
    engine: str
    dtype: str
    device: str
    batch_size: int
    versions: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    """Engine options and other conditions that make it another order of computation."""

    fault: str | None = None
    """Of a direction: the fault and its strength, such as `attention_scale:1.02`."""


@dataclass(frozen=True, slots=True)
class PackTask:
    """A task whose questions a pack holds, with the run that asked them of the reference."""

    task: str
    spec: RunSpec
    """Of the reference's run: by it the task scores answers. Its paths are those where the pack was made."""

    protocol_version: str | None
    dataset: DatasetInfo
    subjects: Mapping[str, Mapping[str, str]]
    """What the dataset card says of each subject."""

    questions: int
    left_out: int = 0
    """Questions of the run that no token ids ask again, since a choice merges with the end of its prompt."""


@dataclass(frozen=True, slots=True)
class PackQuestion:
    """One question: what is asked, and by what an answer is scored."""

    id: str
    """Unique in the pack: the task, a slash and the record's id."""

    task: str
    record: Record
    prompt: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...] = ()
    max_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    first_character_only: bool = False


@dataclass(frozen=True, slots=True)
class PackText:
    """Text whose tokens are told one by one: `ids` behind `context`, which is not scored."""

    id: str
    """Unique in the pack; it begins with `text/`."""

    context: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PackWording:
    """A question of the pack as text: what an engine must turn into the token ids that the question has."""

    question: str
    """Its id."""

    text: str | None = None
    turns: tuple[Turn, ...] = ()
    """A conversation for the chat template, where there is no text."""

    choices: tuple[str, ...] = ()
    choice_rule: ChoiceRule = ChoiceRule.CONTINUATION

    @property
    def id(self) -> str:
        """Unique in the pack."""
        return WORDING_PREFIX + self.question


@dataclass(frozen=True, slots=True)
class PackAnswer:
    """What one computation answered to a question or a text."""

    id: str
    logprobs: tuple[float, ...]
    """Of the choices of a question in nats; of the tokens of a text; empty for generated answers."""

    predicted: str | None = None
    correct: bool | None = None
    """`None` of texts, and of questions that failed."""

    margin: float | None = None
    """Difference of the best two choices in nats."""

    output: tuple[int, ...] | None = None
    """Token ids of an answer that was generated, with those that end it; `None` where they are not told."""


@dataclass(frozen=True, slots=True)
class PackModel:
    """The checkpoint that a pack is of."""

    name: str
    model_type: str
    dtype: str | None
    fingerprint: str | None
    tokenizer_sha256: str | None
    """Over the files of the tokenizer and its template: a candidate reads the same ids only with the same."""


@dataclass(frozen=True, slots=True)
class PackManifest:
    """What a pack says of itself."""

    created: str
    """UTC."""

    modeltest_version: str
    model: PackModel
    tasks: tuple[PackTask, ...]
    texts: int
    computations: tuple[Computation, ...]
    """The reference first."""

    wordings: int = 0

    is_draft: bool = False
    """The reference has not told the texts yet: a step of `modeltest reference make`, nothing to judge by."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A reference pack that was read and checked."""

    manifest: PackManifest
    questions: tuple[PackQuestion, ...]
    texts: tuple[PackText, ...]
    answers: Mapping[str, Mapping[str, PackAnswer]]
    """By the name of the computation, then by question or text. Twins and directions may leave some out."""

    wordings: tuple[PackWording, ...] = ()

    def of_role(self, role: Role) -> tuple[Computation, ...]:
        """Return the computations of a role, in the order of the manifest."""
        return tuple(each for each in self.manifest.computations if each.role is role)

    @property
    def reference(self) -> Mapping[str, PackAnswer]:
        """The reference's answers to all questions and texts."""
        return self.answers[self.of_role(Role.REFERENCE)[0].name]
