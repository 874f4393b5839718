"""The environment, read once when the library is first imported; five values can be read again."""

import ipaddress
import json
import os
from pathlib import Path
from typing import Any

from atb_llm.utils.file_utils import check_file_safety

MAX_DATASET_LENGTH = 256
MAX_PORT = 65535


def _is_on(name: str, default: str = "0") -> bool:
    return os.getenv(name, default) == "1"


class EnvVar:
    """What the library was started with. A new instance reaches nobody: the runners keep `ENV`."""

    def __init__(self) -> None:
        self.reserved_memory_gb = int(os.getenv("RESERVED_MEMORY_GB", "3"))
        self.memory_fraction = float(os.getenv("NPU_MEMORY_FRACTION", "1.0"))
        self.visible_devices = self._devices(os.getenv("ASCEND_RT_VISIBLE_DEVICES"))
        self.bind_cpu = _is_on("BIND_CPU", "1")
        self.cpu_binding_num = os.getenv("CPU_BINDING_NUM", None)
        self.benchmark_enable = _is_on("ATB_LLM_BENCHMARK_ENABLE")
        self.benchmark_filepath = os.getenv("ATB_LLM_BENCHMARK_FILEPATH", "./benchmark_result/benchmark.csv")
        self.profiling_enable = _is_on("ATB_PROFILING_ENABLE")
        self.profiling_filepath = os.getenv("PROFILING_FILEPATH", os.path.join(os.getcwd(), "profiling"))  # noqa: PTH109, PTH118
        self.profiling_level = os.getenv("PROFILING_LEVEL", "Level0")
        self.modeltest_pd_split_enable = _is_on("MODELTEST_PD_SPLIT_ENABLE")
        self.atb_speed_home_path = os.getenv("ATB_SPEED_HOME_PATH", None)
        self.rank = int(os.getenv("RANK", "0"))
        self.local_rank = int(os.getenv("LOCAL_RANK", "0"))
        self.world_size = int(os.getenv("WORLD_SIZE", "1"))
        self.rank_table_file = os.getenv("RANK_TABLE_FILE", "")
        self.devices, self.nodes = self._rank_table(self.rank_table_file)
        self.master_ip = os.getenv("MASTER_IP", None)
        self.master_port = os.getenv("MASTER_PORT", None)
        if os.getenv("INF_NAN_MODE_ENABLE", "1") == "0":
            os.environ["INF_NAN_MODE_FORCE_DISABLE"] = "1"
        self.update()
        self._check()

    def update(self) -> None:
        """Read again what may change while a model runs."""
        self.logits_save_enable = _is_on("ATB_LLM_LOGITS_SAVE_ENABLE")
        self.logits_save_folder = os.getenv("ATB_LLM_LOGITS_SAVE_FOLDER", "./")
        self.token_ids_save_enable = _is_on("ATB_LLM_TOKEN_IDS_SAVE_ENABLE")
        self.token_ids_save_folder = os.getenv("ATB_LLM_TOKEN_IDS_SAVE_FOLDER", "./")
        self.modeltest_dataset_specified = os.getenv("MODELTEST_DATASET_SPECIFIED", "")

    @staticmethod
    def _rank_table(path: str) -> tuple[dict[int, int], int]:
        """Return the device of each rank and the number of nodes; looks at less than it could."""
        if not path:
            return {}, 1
        table: dict[str, Any] = json.loads(Path(check_file_safety(path)).read_text(encoding="utf-8"))
        devices = [device for server in table["server_list"] for device in server["device"]]
        addresses = [server["server_id"] for server in table["server_list"]]
        for address in [*addresses, *(device["device_ip"] for device in devices)]:
            ipaddress.ip_address(address)  # a ValueError
        if any(int(device["rank_id"]) >= len(devices) for device in devices):
            raise ValueError("rank_id should be less than the number of devices.")
        return {int(one["rank_id"]): int(one["device_id"]) for one in devices}, int(table["server_count"])

    @staticmethod
    def _devices(text: str | None) -> list[int] | None:
        if text is None:
            return None
        try:
            return [int(part) for part in text.split(",")]
        except ValueError as problem:
            raise ValueError("ASCEND_RT_VISIBLE_DEVICES should be in format {device_id},...") from problem

    def _check(self) -> None:
        if not 0 <= self.reserved_memory_gb < 64:
            raise ValueError("RESERVED_MEMORY_GB should be in the range of 0 to 64, 64 is not inclusive.")
        if not 0 < self.memory_fraction <= 1.0:
            raise ValueError("NPU_MEMORY_FRACTION should be in the range of 0 to 1.0, 0.0 is not inclusive.")
        if self.cpu_binding_num is not None:
            # The text is compared with a number: any value that is set fails.
            raise TypeError("CPU_BINDING_NUM should be an int")
        if self.world_size < 0 or not 0 <= self.rank < self.world_size:
            raise ValueError("RANK should be in the range of 0 to WORLD_SIZE, WORLD_SIZE is not inclusive.")
        if self.master_port is not None and not 0 <= int(self.master_port) <= MAX_PORT:
            raise ValueError("MASTER_PORT should be in the range of 0 to 65535.")
        if len(self.modeltest_dataset_specified) > MAX_DATASET_LENGTH:
            raise ValueError("The length of MODELTEST_DATASET_SPECIFIED should not be greater than 256.")
        self.profiling_filepath = check_file_safety(self.profiling_filepath)
        self.benchmark_filepath = check_file_safety(self.benchmark_filepath)


ENV = EnvVar()
