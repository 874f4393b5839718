"""What ran on what: checkpoint, engine, device and dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from modeltest.api.hardware import DevicePeaks, ModelWork, ProcessorUse

_LEAST_TOLERANCE = 0.002
"""Mean distance of log-probabilities below which two answers are of the same weights, however little the
server's own scatter. On SmolLM2 in float32, other batches are 5e-8 apart, one step of fine-tuning (AdamW,
1e-5) 0.008, ten steps 0.08, weights rounded to 8 bits 0.04, to 4 bits 0.85."""

MOST_ACCEPTED = 0.1
"""No user may say that weights are the same which are farther apart: kernels of bfloat16 are 0.04."""

_NOISE_FACTOR = 4.0
"""How many times its own scatter a server's log-probabilities may be away from those of an earlier time. In
bfloat16 other batches are 0.0015 apart in the mean and up to 0.12 at a token."""


@dataclass(frozen=True, slots=True)
class HarmlessWeights:
    """Weights of a checkpoint that its model may leave out, told by their names."""

    pattern: str
    """A regular expression that is searched in the names."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The checkpoint, read from its files without loading it."""

    key: str
    name: str
    path: str
    model_type: str
    dtype: str | None
    quantize: str | None
    max_position_embeddings: int | None
    block_size: int
    chips: int
    fingerprint: str | None
    """sha256 over the names and digests in `files`; `None` without weights.

    Of runs that recorded no `files` it covers config.json and the weights alone.
    """

    tokenizer_options: Mapping[str, str | bool | int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    end_of_turn: tuple[str, ...] = ()
    """Tokens that end an answer in a conversation, beside those the checkpoint names."""

    harmless_weights: tuple[HarmlessWeights, ...] = ()
    """What the files hold that may be left over after loading; anything else must be taken."""

    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each file that decides an answer, by its name; of weights, of size, header and samples."""

    written: Mapping[str, str] = field(default_factory=dict)
    """When each of the `files` with weights was written last (UTC): between samples they may be edited."""

    identity: str = ""
    """What it is called: the name its user gave, else its folder and a short fingerprint. `name` is after its
    shape, as the predecessor's. Empty in runs that recorded none."""

    @property
    def label(self) -> str:
        """What pages, tables, histories and metrics call it."""
        return self.identity or self.name


@dataclass(frozen=True, slots=True)
class RankUse:
    """How the processes of a run shared its work: replicas of the model, each split over some ranks."""

    world_size: int
    split: int
    replicas: int
    backend: str
    """What carried data between ranks: gloo, nccl or hccl; `sockets` where no model is split."""

    devices: tuple[str, ...]
    """Of each rank."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Something that a server was asked for at load, and what came of it."""

    name: str
    is_there: bool | None
    """`None`: there is no way to see it."""

    seen: str
    """What the answer showed, or what came instead."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model behind an endpoint, known again by what it says to fixed prompts."""

    name: str
    """What its server calls it."""

    logprobs: tuple[float, ...] = ()
    """Of the tokens of the fixed prompts; empty where the server tells none."""

    noise: float | None = None
    """By how much they differed, in the mean, between two times of asking at load."""

    texts: tuple[str, ...] = ()
    """The likeliest answers to the fixed prompts, where the server tells no log-probabilities."""

    accepted: float | None = None
    """The mean distance at which the user has said that the weights are the same, to go on with a run."""

    distances: tuple[float, ...] = ()
    """By how much log-probabilities differed, in the mean, each time that the run was gone on with."""

    def tolerance(self) -> float:
        """Return the mean distance up to which log-probabilities are of the same weights."""
        return max(self.own_tolerance(), self.accepted or 0.0)

    def own_tolerance(self) -> float:
        """Return the same without what the user has said."""
        return max(_LEAST_TOLERANCE, _NOISE_FACTOR * (self.noise or 0.0))


@dataclass(frozen=True, slots=True)
class ClientUse:
    """What asking a server took. `None`: nothing of the kind happened, or the server does not say."""

    requests: int
    retries: int
    prompt_tokens: int | None = None
    """As the server counted them, and so the next ones."""

    completion_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    reasoning_tokens: int | None = None
    thinking_answers: int = 0
    """Answers in front of which the model thought; what it thought is no part of them."""

    shared_chunks: int = 0
    """Pieces of timed streams that brought several tokens at once."""

    send_lag_ms: float | None = None
    """The longest time from the submission of a timed batch until a request of it was written."""

    loop_lag_ms: float | None = None
    """The longest time by which the client came too late to a moment it had set itself, in timed batches."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine and device really used, known after loading."""

    engine: str
    device: str
    dtype: str
    vocabulary_size: int
    special_token_ids: tuple[int, ...]
    context_tokens: int | None
    versions: Mapping[str, str]
    load_s: float | None = None
    notes: tuple[str, ...] = ()
    processors: ProcessorUse | None = None
    work: ModelWork | None = None
    peaks: DevicePeaks | None = None
    """Measured for runs that time something, for each device alike."""

    times_end_alone: bool = False
    """Whether `only_end_timed` requests are served: what is timed can be left out, for a batch."""

    memory_limit_bytes: int | None = None
    """The most that `Engine.peak_memory_bytes` can reach; `None` when the engine does not know."""

    ranks: RankUse | None = None
    """`None`: one process did it all."""

    implementations: Mapping[str, str] = field(default_factory=dict)
    """By which of its library's implementations the engine computes a part: `{"attention": "sdpa"}`."""

    served: ServedModel | None = None
    """Of an engine that asks a server."""

    abilities: tuple[Ability, ...] = ()
    """What the server was asked for at load."""

    lacking: Mapping[str, str] = field(default_factory=dict)
    """By value of a `Capability` that the engine claims and this server has not: what was seen instead."""


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """What an engine did between loading and closing. `None`: the engine does not count it."""

    forward_s: float | None = None
    """Time inside the model's forward calls, on the device's clock where there is one."""

    forward_calls: int | None = None
    computed_tokens: int | None = None
    """Tokens fed to the model, padding included."""

    reused_tokens: int | None = None
    """Prompt tokens that were not fed because a shared prefix was computed already."""

    padding_tokens: int | None = None
    split_batches: int | None = None
    """Batches that ran out of memory and were run again in halves."""

    alone_rows: int | None = None
    """Rows that were asked one by one, since no faster way was found right on the model for rows as long."""

    peak_memory_bytes: int | None = None
    """Of the device, or of the process where there is none; of the rank that needed most."""

    client: ClientUse | None = None
    """Of an engine that asks a server."""

    held_times: int | None = None
    """Times of tokens that were held against those which the engine's library tells by a clock of its own."""

    differing_times: int | None = None
    """How many of them were farther from the library's than the engine allows."""

    model_loads: int | None = None
    """How often the weights were loaded: a runner of fixed size is made anew for what it has no room for."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Which rows were asked: the files' digest and whether they are the official ones."""

    name: str
    split: str
    path: str
    sha256: str
    official: bool
    records: int
    subjects: int


def other_weights(then: ServedModel, now: ServedModel) -> str | None:
    """Return why `now` is not the model that was served `then`; `None` where nothing says so.

    Batch sizes and the order of sums change log-probabilities a little, in bfloat16 more than in float32:
    what is allowed is a multiple of what two times of asking at load showed. Texts must be equal.
    """
    if then.name != now.name:
        return f"the served model was {then.name}, now it is {now.name}"
    if bool(then.logprobs) != bool(now.logprobs):
        return "log-probabilities of fixed prompts were told, now they are not, or the other way round"
    if then.logprobs:
        if len(then.logprobs) != len(now.logprobs):
            return f"fixed prompts had {len(then.logprobs)} tokens, now they have {len(now.logprobs)}"
        distance = mean_distance(then.logprobs, now.logprobs)
        allowed = max(then.tolerance(), now.tolerance())
        if not distance <= allowed:  # what is no number is not within it
            return (
                f"log-probabilities of fixed prompts differ by {distance:.2g} in the mean from those at the "
                f"begin of the run, {allowed:.2g} is allowed: the server has other weights, or computes "
                "with the same ones otherwise (in bfloat16 other kernels are as far apart as a light "
                "fine-tune); start it with the weights, version, device, dtype and options that it had"
            )
    elif then.texts != now.texts:
        return "the answers to fixed prompts are others: the server has other weights"
    return None


def mean_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the mean of the absolute differences of as many numbers; of none it is 0."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / max(len(one), 1)


def gone_on_with(then: ServedModel, now: ServedModel) -> ServedModel:
    """Return what is known of a run's model that is gone on with: as it was, and how far away it is now."""
    if not then.logprobs:
        return then
    return replace(then, distances=(*then.distances, mean_distance(then.logprobs, now.logprobs)))
