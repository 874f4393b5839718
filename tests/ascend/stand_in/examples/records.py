"""What a runner was made with, for tests: one JSON line each in the file that STAND_IN_RECORD names."""

import json
import os
from pathlib import Path
from typing import Any

from atb_llm.utils.env import ENV


def record_made(name: str, kwargs: dict[str, Any]) -> None:
    """Add a line with the arguments of a runner, and what the library was started with."""
    path = os.getenv("STAND_IN_RECORD")
    if not path:
        return
    started_with = {
        "modeltest_pd_split_enable": ENV.modeltest_pd_split_enable,
        "rank_table_file": ENV.rank_table_file,
        "visible_devices": ENV.visible_devices,
        "master_ip": ENV.master_ip,
        "master_port": ENV.master_port,
    }
    line = json.dumps({"runner": name, "arguments": kwargs, "environment": started_with}, default=str)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
