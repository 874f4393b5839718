from pathlib import Path

import pytest

from modeltest.machine.memory_limit import free_memory_bytes, resident_bytes

GIB = 1 << 30


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return the root of a file system of a host with 4 GiB available, whose process is in no group."""
    proc = tmp_path / "proc/self"
    proc.mkdir(parents=True)
    (proc / "status").write_text("Name:\tpython\nVmRSS:\t 1048576 kB\n")
    (tmp_path / "proc/meminfo").write_text("MemFree: 1 kB\nMemAvailable: 4194304 kB\n")
    return tmp_path


def put_into_group(root: Path, *, lines: str, folder: str, **files: str) -> None:
    (root / "proc/self/cgroup").write_text(lines)
    place = root / "sys/fs/cgroup" / folder
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name.replace("memory_", "memory.")).write_text(text)


def test_what_the_kernel_calls_available_is_free(host):
    assert free_memory_bytes(host) == 4 * GIB
    assert resident_bytes(host) == GIB


def test_a_container_may_leave_less_and_its_file_cache_counts_as_free(host):
    stat = f"anon 1\ninactive_file {GIB}\n"
    sizes = {"memory_max": f"{3 * GIB}\n", "memory_current": f"{2 * GIB}\n", "memory_stat": stat}
    put_into_group(host, lines="0::/\n", folder=".", **sizes)
    assert free_memory_bytes(host) == 2 * GIB


def test_a_group_around_that_of_the_process_may_leave_less(host):
    put_into_group(host, lines="0::/pod/job\n", folder="pod/job", memory_max="max\n", memory_current="1\n")
    (host / "sys/fs/cgroup/pod/memory.max").write_text(f"{GIB}\n")
    (host / "sys/fs/cgroup/pod/memory.current").write_text(f"{GIB // 4}\n")
    assert free_memory_bytes(host) == 3 * GIB // 4


def test_control_groups_of_version_1_count_too(host):
    sizes = {
        "memory_limit_in_bytes": f"{2 * GIB}\n",
        "memory_usage_in_bytes": f"{GIB}\n",
        "memory_stat": "total_inactive_file 5\ninactive_file 3\n",
    }
    put_into_group(host, lines="4:memory:/job\n", folder="memory/job", **sizes)
    assert free_memory_bytes(host) == GIB + 5


def test_a_group_that_uses_more_than_its_limit_leaves_nothing(host):
    put_into_group(host, lines="0::/\n", folder=".", memory_max="1\n", memory_current="2\n", memory_stat="")
    assert free_memory_bytes(host) == 0


def test_a_container_without_a_limit_leaves_everything(host):
    put_into_group(host, lines="0::/\n", folder=".", memory_max="max\n", memory_current="1\n")
    assert free_memory_bytes(host) == 4 * GIB


def test_a_system_that_does_not_tell_is_not_guessed_at(tmp_path):
    assert free_memory_bytes(tmp_path) is None
    assert resident_bytes(tmp_path) is None


def test_this_machine_tells():
    free, resident = free_memory_bytes(), resident_bytes()
    assert free is None or free > 0
    assert resident is None or resident > 1 << 20
