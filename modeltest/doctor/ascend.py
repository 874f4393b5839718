"""Every check of an Ascend machine, in the order in which things depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from modeltest.api import ModelTestError
from modeltest.doctor.checkpoint import (
    Need,
    check_bfloat16,
    check_context,
    check_quantisation,
    check_torch_dtype,
    check_weights,
    not_named,
)
from modeltest.doctor.finding import Finding, State
from modeltest.doctor.host import (
    check_driver,
    check_governor,
    check_master_port,
    check_npu_smi,
    check_paths,
    check_rank_table,
    check_visible_devices,
    is_port,
)
from modeltest.doctor.machine import Machine
from modeltest.doctor.npu_smi import Chip, chips_in
from modeltest.doctor.software import (
    ATB_SETUP,
    CANN_SETUP,
    MODELS_SETUP,
    check_atb,
    check_atb_speed,
    check_cann,
    check_torch,
)
from modeltest.doctor.variables import check_variables
from modeltest.models.checkpoint import context_of
from modeltest.models.config_json import JsonFile, read_json_object
from modeltest.models.profiles import profile_for_model_type
from modeltest.models.quantisation import quantisation, weight_folders
from modeltest.models.weights import WeightFile, read_weight_files

OF_CONFIG = ("torch_dtype", "quantize", "context")
"""Checks that read config.json."""

T = TypeVar("T")

DRIVER_VERSION = "/usr/local/Ascend/driver/version.info"
DEVICE_MANAGER = "/dev/davinci_manager"
GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
CANN_VERSIONS = ("*-linux/ascend_toolkit_install.info", "version.info", "compiler/version.info")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run. `weights` is `None` when no checkpoint was named."""

    chips: int
    weights: str | None = None
    dtype: str | None = None
    """What the engine word means; `None` leaves it to the checkpoint."""

    needs: tuple[Need, ...] = ()
    cuts_prompts: bool = True
    """Whether a prompt that is too long is cut and counted, or refused."""

    max_position_embeddings: int | None = None


def examine(machine: Machine, plan: Plan) -> list[Finding]:
    """Return one finding per check."""
    smi = machine.run("npu-smi", "info")
    chips = chips_in(smi.text) if smi else ()
    return [
        check_driver(machine.text_of(DRIVER_VERSION), has_device_files=machine.exists(DEVICE_MANAGER)),
        check_npu_smi(smi, chips),
        check_visible_devices(
            machine.environment.get("ASCEND_RT_VISIBLE_DEVICES"), chips=len(chips), wanted=plan.chips
        ),
        _cann(machine),
        _atb(machine),
        _atb_speed(machine),
        check_torch(machine.version_of("torch"), machine.version_of("torch_npu")),
        *_checkpoint(plan, chips),
        _paths(machine, plan),
        _master_port(machine),
        _rank_table(machine),
        check_variables(machine.environment, profile=_profile_environment(plan)),
        check_governor([machine.text_of(path) or "" for path in machine.paths(GOVERNORS)]),
    ]


def _cann(machine: Machine) -> Finding:
    home = machine.environment.get("ASCEND_HOME_PATH") or machine.environment.get("ASCEND_TOOLKIT_HOME")
    files = [path for name in CANN_VERSIONS for path in machine.paths(f"{home}/{name}")] if home else []
    return check_cann(
        home,
        is_there=machine.exists(home or ""),
        is_installed=machine.exists(CANN_SETUP),
        version_files=[machine.text_of(path) or "" for path in files],
    )


def _atb(machine: Machine) -> Finding:
    home = machine.environment.get("ATB_HOME_PATH")
    return check_atb(
        home, has_library=machine.exists(f"{home}/lib/libatb.so"), is_installed=machine.exists(ATB_SETUP)
    )


def _atb_speed(machine: Machine) -> Finding:
    home = machine.environment.get("ATB_SPEED_HOME_PATH")
    return check_atb_speed(
        home,
        has_runner=machine.exists(f"{home}/examples/run_pa.py"),
        is_installed=machine.exists(MODELS_SETUP),
    )


def _profile_environment(plan: Plan) -> Mapping[str, str]:
    """Return the variables the profile of the checkpoint sets; none without a checkpoint that can be read."""
    if plan.weights is None:
        return {}
    config = _attempt(lambda: read_json_object(Path(plan.weights or "") / "config.json"))
    model_type = None if isinstance(config, ModelTestError) else _text(config.values.get("model_type"))
    return profile_for_model_type(model_type).environment if model_type else {}


def _checkpoint(plan: Plan, chips: Sequence[Chip]) -> list[Finding]:
    """Return the findings on the checkpoint; BF16 among them, for it depends on the dtype."""
    names = [chip.name for chip in chips]
    if plan.weights is None:
        return [
            check_bfloat16(names, dtype=plan.dtype, config_path=None),
            *(not_named(name) for name in ("weights", *OF_CONFIG)),
        ]
    config = _attempt(lambda: read_json_object(Path(plan.weights or "") / "config.json"))
    if isinstance(config, ModelTestError):
        return [
            check_bfloat16(names, dtype=plan.dtype, config_path=None),
            check_weights(plan.weights, config),
            *(Finding(name, State.SKIPPED, "no config.json that could be read") for name in OF_CONFIG),
        ]
    return _of_config(plan, config, names)


def _of_config(plan: Plan, config: JsonFile, chips: Sequence[str]) -> list[Finding]:
    directory = config.path.parent
    kind = _attempt(lambda: quantisation(config))
    known_kind = kind if isinstance(kind, str) else None
    torch_dtype, dtype = (_text(config.values.get(key)) for key in ("torch_dtype", "dtype"))
    computed = plan.dtype or torch_dtype or dtype
    context_tokens = plan.max_position_embeddings or context_of(config.values)
    return [
        check_bfloat16(chips, dtype=computed, config_path=str(config.path)),
        check_weights(str(directory), _attempt(lambda: _weight_files(directory, known_kind, plan.chips))),
        check_torch_dtype(str(config.path), torch_dtype=torch_dtype, dtype=dtype, wanted=plan.dtype),
        check_quantisation(kind, chips),
        check_context(context_tokens, plan.needs, is_cut=plan.cuts_prompts),
    ]


def _weight_files(directory: Path, kind: str | None, chips: int) -> list[WeightFile]:
    return [file for folder in weight_folders(directory, kind, chips) for file in read_weight_files(folder)]


def _paths(machine: Machine, plan: Plan) -> Finding:
    paths = [machine.working_directory]
    if plan.weights is not None:
        paths.append(str(Path(plan.weights).absolute()))
    # 0 leaves of atb_llm's rules the one for characters.
    is_checked = machine.environment.get("MINDIE_CHECK_INPUTFILES_PERMISSION") != "0"
    opened = {path: is_checked and machine.is_open_to_all(path) for path in paths}
    return check_paths(opened, working_directory=machine.working_directory)


def _master_port(machine: Machine) -> Finding:
    variable = machine.environment.get("MASTER_PORT")
    is_free = variable is not None and is_port(variable) and machine.is_port_free(int(variable))
    return check_master_port(variable, is_free=is_free, free_port=machine.free_port())


def _rank_table(machine: Machine) -> Finding:
    variable = machine.environment.get("RANK_TABLE_FILE")
    return check_rank_table(variable, machine.text_of(variable) if variable else None)


def _attempt(read: Callable[[], T]) -> T | ModelTestError:
    try:
        return read()
    except ModelTestError as problem:
        return problem


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
