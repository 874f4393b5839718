"""MindIE as a place and a set of variables: where it is, what it must be told before it is imported.

The library reads its environment once, when `atb_llm` is first imported, so everything here is asked by the
supervisor. Nothing heavy is imported.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/atb_llm/utils/{env,file_utils}.py.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.mindie.variables import check_kept, profile_variables, replaced_notes
from modeltest.api import MINDIE_KINDS, ModelInfo, PrerequisiteError, RunSpec, SpecError
from modeltest.machine.interfaces import LOOPBACK_INTERFACE, at_interface
from modeltest.machine.ports import free_port
from modeltest.plain.json_text import parse_published_json

HOME_VARIABLE = "ATB_SPEED_HOME_PATH"
"""Where `set_env.sh` of MindIE says that the packages `examples` and `atb_llm` are."""

SWITCH_VARIABLE = "USE_ASCEND"
"""`0` leaves MindIE alone: the engine words then mean the plain torch_npu engines."""

STAND_IN_HOME = Path(__file__).resolve().parents[2] / "tests" / "ascend" / "stand_in"

DTYPES = ("float16", "bfloat16")
"""What MindIE loads."""

BENCHMARK_FILE = "benchmark.csv"

PERMISSION_VARIABLE = "MINDIE_CHECK_INPUTFILES_PERMISSION"

DEVICES_VARIABLE = "ASCEND_RT_VISIBLE_DEVICES"

LOGITS_VARIABLE = "ATB_LLM_LOGITS_SAVE_ENABLE"

LOOPBACK = "127.0.0.1"

STAND_IN_NOTE = "this is the stand-in for MindIE on the CPU: nothing here ran on Ascend"

VERSIONED_PACKAGES = ("torch", "transformers", "atb_llm", "mindie_llm")
"""Whose versions are told with the results, where they are installed as packages."""

_ALLOWED_PATH = re.compile(r"[0-9a-zA-Z_./-]*")
_RECORDS = ("times", "ids", "logits")
_OPTIONS = ("stand_in", "record", "keep")

_DATASET = "modeltest"
"""Turns the saving of ids and logits on; the name means nothing else unless it is like `HumanEval_X_cpp`."""


@dataclass(frozen=True, slots=True)
class MindieOptions:
    """The `--engine-option`s of the MindIE engines.

    `stand_in`: drive the stand-in of the checkout, which runs a model on the CPU, instead of MindIE.
    `record`: what the library is told to write while it runs: times (benchmark.csv), ids and logits.
    `keep`: variables of the model's profile that stay as the shell has them, set or not.
    """

    stand_in: bool
    record: frozenset[str]
    keep: frozenset[str]

    @staticmethod
    def parse(spec: RunSpec) -> MindieOptions:
        """Read the options of `spec`.

        A timed run records times alone: MindIE looks up its settings at every token of every row while ids
        or logits are saved. Any other run would be slowed by times, which cost a second, unread pass.

        Raises: SpecError for an unknown name or value.
        """
        given = spec.engine_options
        for name in given:
            if name not in _OPTIONS:
                raise SpecError(f"engine mindie has no option {name!r}; available: {', '.join(_OPTIONS)}")
        stand_in = given.get("stand_in", "no")
        if stand_in not in ("yes", "no"):
            raise SpecError(f"engine option stand_in={stand_in!r} must be yes or no")
        record = given.get("record", "times" if is_timed(spec) else "ids+logits").split("+")
        unknown = [word for word in record if word not in _RECORDS]
        if unknown:
            raise SpecError(
                f"engine option record={given['record']!r}: {unknown[0]!r} is none of {', '.join(_RECORDS)} "
                "(join several with +)"
            )
        keep = frozenset(name for name in given.get("keep", "").split("+") if name)
        return MindieOptions(stand_in == "yes", frozenset(record), keep)


def is_timed(spec: RunSpec) -> bool:
    """Say whether a run is about times: one of `precision_single` has shapes too, and is about tokens."""
    return bool(spec.cases) and not spec.mode.startswith("precision")


def why_no_mindie(spec: RunSpec | None, runner: str) -> str | None:
    """Return why MindIE's `examples/<runner>.py` cannot be used here, for `spec` if given, or `None`."""
    if os.environ.get(SWITCH_VARIABLE) == "0":
        return f"{SWITCH_VARIABLE} is 0"
    if spec is not None and spec.device not in (None, "npu"):
        return f"device {spec.device} is demanded"
    if spec is not None and spec.engine_options.get("stand_in") == "yes":
        return None if STAND_IN_HOME.is_dir() else "the stand-in is part of a checkout, not of the package"
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        return f"no MindIE: {HOME_VARIABLE} is not set"
    if not (Path(home) / "examples" / f"{runner}.py").is_file():
        return f"no MindIE: {home} ({HOME_VARIABLE}) has no examples/{runner}.py"
    return None


def device_name(device: str, spec: RunSpec) -> str:
    """Return what a report calls the device: a stand-in is never to be taken for MindIE."""
    return f"{device} (stand-in for MindIE)" if MindieOptions.parse(spec).stand_in else device


def run_notes(spec: RunSpec) -> tuple[str, ...]:
    """Return what a reader of the results must know of this worker: on what it ran, and what was replaced."""
    stand_in = (STAND_IN_NOTE,) if MindieOptions.parse(spec).stand_in else ()
    return (*stand_in, *replaced_notes(os.environ))


def home_of(spec: RunSpec) -> Path:
    """Return the folder with `examples` and `atb_llm`.

    Raises: PrerequisiteError when it is not known.
    """
    if MindieOptions.parse(spec).stand_in:
        return STAND_IN_HOME
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        raise PrerequisiteError(f"{HOME_VARIABLE} is not set: source set_env.sh of MindIE's atb_models")
    return Path(home)


def check_mindie(spec: RunSpec, model: ModelInfo, runner: str) -> None:
    """Refuse what no MindIE runner takes.

    Raises: SpecError, PrerequisiteError.
    """
    if reason := why_no_mindie(spec, runner):
        raise PrerequisiteError(f"{runner} of MindIE cannot be used: {reason}")
    if MindieOptions.parse(spec).stand_in and spec.device == "npu":
        raise SpecError("the stand-in for MindIE runs on the cpu; leave out --device npu or stand_in=yes")
    _check_visible_devices(spec)
    if spec.cluster is not None:
        table = Path(spec.cluster.rank_table).expanduser()
        check_path("the rank table", table.resolve(), "rename or move it")
        _refuse_open("the rank table", table, "640")
    if model.quantize is not None and model.quantize not in MINDIE_KINDS:
        raise PrerequisiteError(
            f"{model.path} is quantised by {model.quantize}; MindIE runs {', '.join(MINDIE_KINDS)}"
        )
    _check_dtype(spec, model)
    check_kept(model, MindieOptions.parse(spec).keep)
    check_path("the folder of the weights", Path(model.path).resolve(), "rename or move it")
    _refuse_open("the folder of the weights", Path(model.path), "o-w")
    check_path(
        "the output directory",
        Path(spec.output_dir).expanduser().resolve(),
        "choose another with --output DIR",
    )


def check_path(what: str, path: Path, remedy: str) -> None:
    """Refuse a path that MindIE's own check would refuse after minutes of loading.

    Raises: SpecError.
    """
    if not _ALLOWED_PATH.fullmatch(str(path)):
        wrong = sorted({character for character in str(path) if not _ALLOWED_PATH.fullmatch(character)})
        shown = " ".join(repr(character) for character in wrong)
        raise SpecError(
            f"{what} {str(path)!r} contains {shown}; MindIE takes letters, digits and _ . / - only: {remedy}"
        )


def environment(spec: RunSpec, model: ModelInfo) -> dict[str, str]:
    """Return the variables of the worker that do not name files."""
    home = str(home_of(spec))
    found = os.environ.get("PYTHONPATH")
    devices = ",".join(map(str, range(spec.world_size)))
    variables = {
        HOME_VARIABLE: home,
        "PYTHONPATH": f"{home}{os.pathsep}{found}" if found else home,
        "HF_HUB_OFFLINE": "1",
        "MODELTEST_PD_SPLIT_ENABLE": "1" if spec.options.prefill_length else "0",
        "ENABLE_GREEDY_SEARCH_OPT": "0",
        **profile_variables(model, keep=MindieOptions.parse(spec).keep, shell=os.environ),
    }
    if spec.cluster is None:  # else the rank table says which, and where the ranks listen
        variables[DEVICES_VARIABLE] = os.environ.get(DEVICES_VARIABLE) or devices
        variables |= at_interface(LOOPBACK_INTERFACE, os.environ) if spec.world_size > 1 else {}
    if spec.world_size == 1:  # else torchrun numbers the ranks and says where they meet
        variables |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        variables["MASTER_PORT"] = str(free_port(os.environ))
    if spec.parallel.pp > 1:
        variables |= {"MASTER_IP": LOOPBACK, "ATB_LLM_HCCL_ENABLE": "1"}
    if not is_timed(spec):
        variables |= {name: os.environ.get(name, value) for name, value in _DETERMINISTIC.items()}
    return variables


_DETERMINISTIC = {
    "LCCL_DETERMINISTIC": "1",
    "HCCL_DETERMINISTIC": "true",
    "ATB_MATMUL_SHUFFLE_K_ENABLE": "0",
    "ATB_LLM_LCOC_ENABLE": "1",
}
"""As the predecessor sets them for accuracy, unless they are set already."""


def file_environment(spec: RunSpec, directory: Path) -> dict[str, str]:
    """Return the variables that name files: everything MindIE writes goes to `directory`.

    What is not recorded is switched off by name: a variable left over in a shell must not switch it on. The
    profiling path is checked at import even when nothing is profiled; its default is the current directory.
    """
    record = MindieOptions.parse(spec).record
    folder = str(directory.resolve())
    on = {name: "1" if name in record else "0" for name in _RECORDS}
    return {
        "ATB_LLM_BENCHMARK_ENABLE": on["times"],
        "ATB_LLM_BENCHMARK_FILEPATH": f"{folder}/{BENCHMARK_FILE}",
        "ATB_LLM_TOKEN_IDS_SAVE_ENABLE": on["ids"],
        "ATB_LLM_TOKEN_IDS_SAVE_FOLDER": folder,
        LOGITS_VARIABLE: on["logits"],
        "ATB_LLM_LOGITS_SAVE_FOLDER": folder,
        "MODELTEST_DATASET_SPECIFIED": _DATASET if record & {"ids", "logits"} else "",
        "ATB_PROFILING_ENABLE": "0",
        "PROFILING_FILEPATH": f"{folder}/profiling",
    }


def recorded(variables: Mapping[str, str]) -> frozenset[str]:
    """Return what a process with these variables records: what `file_environment` switched on."""
    saves = bool(variables.get("MODELTEST_DATASET_SPECIFIED"))
    switches = {
        "times": variables.get("ATB_LLM_BENCHMARK_ENABLE") == "1",
        "ids": saves and variables.get("ATB_LLM_TOKEN_IDS_SAVE_ENABLE") == "1",
        "logits": saves and variables.get(LOGITS_VARIABLE) == "1",
    }
    return frozenset(name for name, is_on in switches.items() if is_on)


def _check_visible_devices(spec: RunSpec) -> None:
    """Refuse devices that torch_npu would count as none, or fewer than there are ranks.

    Raises: SpecError.
    """
    said = os.environ.get(DEVICES_VARIABLE)
    if not said:
        return
    parts = [part.strip() for part in said.split(",")]
    each = spec.world_size // (1 if spec.cluster is None else spec.cluster.nodes)
    wanted = ",".join(map(str, range(each)))
    numbers = [int(part) for part in parts if part.isascii() and part.isdecimal()]
    if len(numbers) < len(parts) or numbers != sorted(set(numbers)):
        raise SpecError(
            f"{DEVICES_VARIABLE}={said} does not ascend, or holds more than numbers: torch_npu counts no "
            f"device then; set it to something like {wanted}, or unset it"
        )
    if len(numbers) < each:
        raise SpecError(
            f"{DEVICES_VARIABLE}={said} shows {len(numbers)} devices, {each} are asked for on this machine: "
            "show more, or unset it"
        )


def _refuse_open(what: str, path: Path, mode: str) -> None:
    """Refuse a path that every user may change: MindIE would, after minutes of loading.

    Raises: SpecError.
    """
    is_checked = os.environ.get(PERMISSION_VARIABLE) != "0"
    if is_checked and path.exists() and path.stat().st_mode & stat.S_IWOTH:
        raise SpecError(f"every user may write to {what} {path}; MindIE refuses it: chmod {mode} {path}")


def _check_dtype(spec: RunSpec, model: ModelInfo) -> None:
    """Refuse a dtype MindIE does not load: it goes by `torch_dtype` of config.json and casts nothing."""
    place = Path(model.path) / "config.json"
    if model.dtype not in DTYPES:
        raise SpecError(
            f"{place}: dtype is {model.dtype}, MindIE loads {' and '.join(DTYPES)} only; "
            "convert the checkpoint, or use hf_fp32"
        )
    if spec.dtype is not None and spec.dtype != model.dtype:
        raise SpecError(f"{place}: dtype is {model.dtype}; MindIE cannot cast it to {spec.dtype}")
    try:
        config = parse_published_json(place.read_bytes())
    except (OSError, ValueError) as problem:
        raise SpecError(f"{place} cannot be read: {problem}") from None
    if "torch_dtype" not in config:
        raise SpecError(
            f'{place} names its dtype as "dtype" only, which the transformers of MindIE does not know; '
            f'add "torch_dtype": "{model.dtype}"'
        )
    if str(config["torch_dtype"]).removeprefix("torch.") != model.dtype:
        raise SpecError(
            f"{place} names the dtype {model.dtype} and the torch_dtype {config['torch_dtype']}; "
            "MindIE goes by torch_dtype: make them the same"
        )
