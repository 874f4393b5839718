"""What was asked for: `RunSpec` and the values it is made of. Pure data, JSON-able by `plain`."""

from __future__ import annotations

from dataclasses import dataclass, field

UNSET_DEGREE = -1
"""A parallel degree left to the engine."""

TASK_FILE_PREFIX = "file:"
"""Begins the name of a task that no package brings: what follows is the absolute path of its file."""

AUTO_WORLD_SIZE = 0
"""A world size taken from the model's profile."""


@dataclass(frozen=True, slots=True)
class Case:
    """One shape of a performance run: the prompt length and the number of new tokens."""

    input_tokens: int
    output_tokens: int

    @property
    def shape(self) -> str:
        """What the case is called everywhere: `256x64`."""
        return f"{self.input_tokens}x{self.output_tokens}"


@dataclass(frozen=True, slots=True)
class BatchRange:
    """The batch sizes a max-batch search may use, both ends included."""

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parallel degrees in the order of the `run.sh` word `[dp,tp,sp,moe_tp,moe_ep,pp,microbatch,cp]`."""

    dp: int = UNSET_DEGREE
    tp: int = UNSET_DEGREE
    sp: int = UNSET_DEGREE
    moe_tp: int = UNSET_DEGREE
    moe_ep: int = UNSET_DEGREE
    pp: int = UNSET_DEGREE
    microbatch: int = UNSET_DEGREE
    cp: int = UNSET_DEGREE


@dataclass(frozen=True, slots=True)
class Cluster:
    """The multi-node words of `run.sh`: `RANKTABLE WORLD NODES RANK_START MASTER_IP`."""

    rank_table: str
    nodes: int
    rank_start: int
    master_address: str


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Where the prompts of a performance run come from instead of random token ids."""

    dataset: str
    padding: bool = False
    """Every prompt is brought to the length of the case: cut, or repeated until it is as long."""

    batch_group: int | None = None
    """How many batches are measured at least, each of other rows; `None`: all rows (the word `INF`)."""


@dataclass(frozen=True, slots=True)
class LmEvalOptions:
    """What `modeltest lm-eval` hands on to lm-evaluation-harness."""

    tasks: tuple[str, ...]
    """Names or patterns of its tasks and groups, or paths of YAML files."""

    include_path: str | None = None
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    """`None`: as its own command does, one turn per example when there is a chat template."""

    gen_kwargs: str | None = None
    """`name=value,...` over what the tasks say of generation."""

    log_samples: bool = False
    confirm_run_unsafe_code: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. Names and meaning are those of transformers' generation."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_tokens_to_keep: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """What `modeltest generate` asks: the prompts, and how an answer ends."""

    max_new_tokens: int
    input_texts: tuple[str, ...] = ()
    input_file: str | None = None
    """One prompt a line, as JSON: a text, turns, or token ids."""

    repeat: int = 1
    """How often a single prompt is asked, all of them together."""

    stop: tuple[str, ...] = ()
    sampling: Sampling | None = None
    """`None`: the likeliest token."""


@dataclass(frozen=True, slots=True)
class PackOptions:
    """The reference pack whose questions a run asks, and what `accept` asks of the answers."""

    path: str
    """As it was given; absolute once the run is planned."""

    sha256: str = ""
    """Of the file when the run was planned: the questions and the reference's answers are in it alone."""

    order_seed: int = 0
    """Of the order in which questions are drawn."""

    max_drop: float | None = None
    """`accept`: accuracy may drop by less than this fraction; `None`: as little as the pack can tell."""

    questions: int | None = None
    """The most questions that are asked, by `pack_answers` of each task; `None`: all, if it takes as many."""

    answers_alone: bool = False
    """`accept`: decide although the engine tells no log-probabilities, on the answers alone."""

    only: tuple[str, ...] = ()
    """`pack_answers`: ids of the questions and texts that are asked; none: as `questions` says."""

    undecided_passes: bool = False
    """`accept`: the exit status of UNDECIDED is that of ACCEPT."""


@dataclass(frozen=True, slots=True)
class LocateOptions:
    """What `modeltest locate` compares with, and what both are fed."""

    reference: str
    """The directory of the reference's checkpoint; absolute."""

    input_texts: tuple[str, ...] = ()
    """None: texts that come with ModelTest."""

    max_tokens: int = 96
    """Of each text, from its begin."""

    served_from: str | None = None
    """The directory of the checkpoint that a served model is of; absolute. `None`: the reference's."""


@dataclass(frozen=True, slots=True)
class CutOptions:
    """The texts that a checkpoint of the first layers is asked, a step of `modeltest locate`."""

    texts: tuple[tuple[int, ...], ...]
    """As token ids, two at the least of each: the first is not told."""

    each_token: bool = True
    """All other tokens are told at once, by an engine that can; else some are asked one by one."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Words only some modes take. `None` means the word was not given."""

    shots: int | None = None
    context_tokens: int | None = None
    batch_ranges: tuple[BatchRange, ...] = ()
    latency_limit_ms: float | None = None
    prefill_batch_size: int | None = None
    prefill_length: int | None = None
    prompt_source: PromptSource | None = None
    prompt_input: str | None = None
    """`performance_single`, `precision_single`: a list of token ids, of texts, or of lists of token ids; or a
    file that holds one."""

    logprobs: bool = False
    """`precision_single`: ask for the log-probability of every output token too."""

    logits: bool = False
    """`precision_single`: ask for those of all tokens that could have stood in its place, for the journal."""

    lm_eval: LmEvalOptions | None = None
    generation: GenerationOptions | None = None
    pack: PackOptions | None = None
    locate: LocateOptions | None = None
    cut: CutOptions | None = None


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run, completely: equal specs ask for equal runs.

    `engine` is the word the user typed (`pa_fp16`, `hf_fp32`, ...); which engine serves it is decided at
    launch and recorded apart. `batch_sizes` holds one tuple for all cases, or one tuple per case.
    """

    engine: str
    mode: str
    task: str
    model: str
    weights: str
    dtype: str | None = None
    device: str | None = None
    """npu, cuda or cpu when one is demanded; `None` leaves it to the engine."""

    engine_python: str | None = None
    """The absolute path of the interpreter that workers run in, with its own ModelTest; `None`: this one.

    Not the file behind its links: a virtual environment is known by the path of its interpreter.
    """

    split: str = ""
    options: TaskOptions = field(default_factory=TaskOptions)
    batch_sizes: tuple[tuple[int, ...], ...] = ()
    cases: tuple[Case, ...] = ()
    world_size: int = 1
    parallel: Parallel = field(default_factory=Parallel)
    cluster: Cluster | None = None
    chat: bool = False
    lora: str | None = None
    kw_args: str | None = None
    trust_remote_code: bool = False
    max_position_embeddings: int | None = None
    protocol: str = "modeltest"
    seed: int = 0
    subjects: tuple[str, ...] = ()
    """The subjects of the dataset that are asked; none given means all of them."""

    limit: int | None = None
    """The most questions of a subject."""

    quick: bool = False
    min_trials: int | None = None
    """`performance`: the fewest trials of a case; `None` leaves it to the task."""

    case_budget_s: float = 300.0
    """`performance`: once its batches took this long together, a case gets no trial beyond the fewest."""

    allow_dtype_cast: bool = False
    known_as: str | None = None
    """What the model is called, whatever its weights, and its history with it.

    `None`: by its folder and a short fingerprint.
    """

    output_dir: str = "outputs"
    data_dir: str | None = None
    engine_options: dict[str, str] = field(default_factory=dict)

    @property
    def task_file(self) -> str | None:
        """The path of the file that describes the task; `None` for one that a package brings."""
        return self.task[len(TASK_FILE_PREFIX) :] if self.task.startswith(TASK_FILE_PREFIX) else None

    def batch_sizes_of(self, case_index: int) -> tuple[int, ...]:
        """Return the batch sizes asked for in the case at `case_index`."""
        if len(self.batch_sizes) == 1:
            return self.batch_sizes[0]
        return self.batch_sizes[case_index]
