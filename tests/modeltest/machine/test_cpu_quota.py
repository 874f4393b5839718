import pytest

from modeltest.machine.cpu_quota import cpu_quota


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("0 100000\n", None),
        ("100000 0\n", None),
        ("garbage\n", None),
        ("", None),
    ],
)
def test_version_2_says_so_in_cpu_max(tmp_path, text, quota):
    put(tmp_path, "proc/self/cgroup", "0::/jobs/7\n")
    put(tmp_path, "sys/fs/cgroup/jobs/7/cpu.max", text)
    assert cpu_quota(tmp_path) == quota


def test_the_least_of_the_groups_around_counts(tmp_path):
    put(tmp_path, "proc/self/cgroup", "0::/jobs/7\n")
    put(tmp_path, "sys/fs/cgroup/jobs/7/cpu.max", "400000 100000\n")
    put(tmp_path, "sys/fs/cgroup/jobs/cpu.max", "200000 100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert cpu_quota(tmp_path) == 2.0


@pytest.mark.parametrize(("quota_us", "quota"), [("50000", 0.5), ("-1", None)])
def test_version_1_says_so_in_two_files(tmp_path, quota_us, quota):
    put(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/jobs/7\n3:memory:/\n0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us", quota_us + "\n")
    put(tmp_path, "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_period_us", "100000\n")
    assert cpu_quota(tmp_path) == quota


def test_a_kernel_that_does_not_tell_sets_no_limit(tmp_path):
    assert cpu_quota(tmp_path) is None
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    assert cpu_quota(tmp_path) is None
