"""What ran on what: checkpoint, engine, device and dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modeltest.api.hardware import DevicePeaks, ModelWork, ProcessorUse


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
    """What carried data between ranks: gloo, nccl or hccl."""

    devices: tuple[str, ...]
    """Of each rank."""


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
