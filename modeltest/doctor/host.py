"""Checks of driver, chips, ports, files and processor: pure functions of what was read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from modeltest.doctor.finding import Finding, State
from modeltest.doctor.machine import CommandOutput
from modeltest.doctor.npu_smi import Chip
from modeltest.plain.json_text import parse_json

DRIVER_LIBRARIES = "/usr/local/Ascend/driver/lib64/common:/usr/local/Ascend/driver/lib64/driver"
DEVICE_FILES = (
    "--device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc"
)
LARGEST_PORT = 65535

_ATB_PATH = re.compile(r"[0-9a-zA-Z_./-]*")
"""The characters atb_llm takes in any path. Source: MindIE-LLM, atb_llm/utils/file_utils.py."""


def check_driver(version_info: str | None, *, has_device_files: bool) -> Finding:
    """Judge `/usr/local/Ascend/driver/version.info` and whether `/dev/davinci_manager` is there."""
    name = "driver"
    version = re.search(r"^Version=(\S+)", version_info or "", re.MULTILINE)
    if version and has_device_files:
        return Finding(name, State.OK, version[1])
    if version:
        return Finding(
            name,
            State.WRONG,
            f"{version[1]}, but there is no /dev/davinci_manager: this container was given no chips",
            f"docker run {DEVICE_FILES} ...",
        )
    if has_device_files:
        return Finding(
            name,
            State.WARNING,
            "the chips are here, the driver's libraries in /usr/local/Ascend/driver are not",
            "docker run -v /usr/local/Ascend/driver:/usr/local/Ascend/driver:ro ...",
        )
    return Finding(
        name, State.ABSENT, "not installed", "sudo ./Ascend-hdk-*-npu-driver_*.run --full --install-for-all"
    )


def check_npu_smi(output: CommandOutput | None, chips: Sequence[Chip]) -> Finding:
    """Judge what `npu-smi info` said; `chips` are those in it."""
    name = "npu-smi"
    if output is None:
        return Finding(
            name,
            State.ABSENT,
            "no such command, or it does not answer",
            "docker run -v /usr/local/bin/npu-smi:/usr/local/bin/npu-smi:ro ...",
        )
    if output.status or not chips:
        said = next((line.strip() for line in reversed(output.text.splitlines()) if line.strip()), "nothing")
        return Finding(
            name,
            State.WRONG,
            f"ended with {output.status} and lists no chip: {said:.120}",
            f"export LD_LIBRARY_PATH={DRIVER_LIBRARIES}:$LD_LIBRARY_PATH",
        )
    names = sorted({chip.name for chip in chips})
    summary = f"{len(chips)} x {', '.join(names)}"
    ill = [chip for chip in chips if chip.health.upper() != "OK"]
    if not ill:
        return Finding(name, State.OK, f"{summary}, all healthy")
    state = State.WARNING if all(chip.health == "Warning" for chip in ill) else State.WRONG
    return Finding(
        name,
        state,
        f"{summary}; card {ill[0].card} is in state {ill[0].health}",
        f"npu-smi info -t health -i {ill[0].card}",
    )


def check_visible_devices(variable: str | None, *, chips: int, wanted: int) -> Finding:
    """Judge ASCEND_RT_VISIBLE_DEVICES, `chips` being on the machine and `wanted` asked for."""
    name = "visible devices"
    if not chips:
        return Finding(name, State.ABSENT, f"no chips; {wanted} asked for", "npu-smi info")
    if chips < wanted:
        return Finding(
            name,
            State.WRONG,
            f"{wanted} chips asked for, {chips} are here",
            f"give at most {chips} as the number of chips",
        )
    mend = f"export ASCEND_RT_VISIBLE_DEVICES={','.join(map(str, range(wanted)))}"
    if variable is None:
        return Finding(name, State.OK, f"all {chips}, for ASCEND_RT_VISIBLE_DEVICES is not set")
    parts = variable.split(",")
    said = f"ASCEND_RT_VISIBLE_DEVICES={variable}"
    if not all(re.fullmatch(r"\s*\d+\s*", part, re.ASCII) for part in parts):
        return Finding(name, State.WRONG, f"{said} is not numbers with commas between", mend)
    numbers = [int(part) for part in parts]
    if any(after <= before for before, after in pairwise(numbers)):
        return Finding(name, State.WRONG, f"{said} does not ascend: torch_npu then counts no device", mend)
    if numbers[-1] >= chips:
        return Finding(name, State.WRONG, f"{said}, but the chips here are 0 to {chips - 1}", mend)
    if len(numbers) < wanted:
        return Finding(name, State.WRONG, f"{said} shows {len(numbers)}, {wanted} asked for", mend)
    return Finding(name, State.OK, said)


def check_master_port(variable: str | None, *, is_free: bool, free_port: int) -> Finding:
    """Judge MASTER_PORT; `is_free` tells of the port it names, if it names one."""
    name = "MASTER_PORT"
    if variable is None:
        return Finding(name, State.OK, "not set: a free one is chosen at launch")
    if not is_port(variable):
        return Finding(
            name, State.WRONG, f"{variable!r:.40} is no port: 1 to {LARGEST_PORT}", "unset MASTER_PORT"
        )
    if not is_free:
        return Finding(
            name, State.WRONG, f"{variable} is taken by another process", f"export MASTER_PORT={free_port}"
        )
    return Finding(name, State.OK, f"{variable} is free")


def is_port(text: str) -> bool:
    """Say whether `text` is the number of a port a server may have."""
    return bool(re.fullmatch(r"\d{1,5}", text, re.ASCII)) and 0 < int(text) <= LARGEST_PORT


def check_rank_table(variable: str | None, table: str | None) -> Finding:
    """Judge RANK_TABLE_FILE and the text of the file it names: left over, it makes a node wait for others."""
    name = "RANK_TABLE_FILE"
    mend = "unset RANK_TABLE_FILE"
    if not variable:
        return Finding(name, State.OK, "not set")
    if table is None:
        return Finding(name, State.WRONG, f"names {variable}, which cannot be read", mend)
    try:
        nodes = int(parse_json(table)["server_count"])
    except (ValueError, LookupError, TypeError):
        return Finding(name, State.WRONG, f"{variable} is no rank table: it has no server_count", mend)
    if nodes > 1:
        return Finding(
            name, State.WARNING, f"{variable} is for {nodes} nodes; a run on this one alone would wait", mend
        )
    return Finding(name, State.WRONG, f"{variable} is left over: one node needs no rank table", mend)


def check_paths(paths: Mapping[str, bool], *, working_directory: str | None = None) -> Finding:
    """Judge paths that atb_llm will open; the value of each says whether all users may write to it.

    In an open `working_directory` runs work, for what is written has a folder of its own.
    """
    name = "paths"
    for path, is_open in paths.items():
        if not _ATB_PATH.fullmatch(path):
            wrong = next(character for character in path if not _ATB_PATH.fullmatch(character))
            return Finding(
                name,
                State.WRONG,
                f"{path} has a {wrong!r}; atb_llm takes letters, digits and _ . / - only",
                "work in a folder without it, and move or link the weights to a path without it",
            )
        if is_open and path != working_directory:
            return Finding(
                name, State.WRONG, f"every user may write to {path}; atb_llm refuses it", f"chmod o-w {path}"
            )
    if working_directory is not None and paths[working_directory]:
        return Finding(
            name,
            State.WARNING,
            f"every user may write to {working_directory}: MindIE's own commands do not start there",
            "work in a folder of your own",
        )
    return Finding(name, State.OK, ", ".join(paths))


def check_governor(governors: Sequence[str]) -> Finding:
    """Judge the frequency governors of the processor's cores."""
    name = "CPU governor"
    kinds = sorted({governor.strip() for governor in governors})
    if not kinds:
        return Finding(name, State.SKIPPED, "this kernel does not tell")
    if kinds == ["performance"]:
        return Finding(name, State.OK, "performance")
    return Finding(
        name,
        State.WARNING,
        f"{', '.join(kinds)}: times will vary with the clock",
        "sudo cpupower frequency-set -g performance",
    )
