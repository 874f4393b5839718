from modeltest.run.supervisor.oom_killer import oom_kills


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_version_2_of_the_memory_cgroup_counts_in_memory_events(tmp_path):
    put(tmp_path, "proc/self/cgroup", "0::/jobs/7\n")
    put(tmp_path, "sys/fs/cgroup/jobs/7/memory.events", "low 0\noom 5\noom_kill 3\noom_group_kill 0\n")
    put(tmp_path, "proc/vmstat", "oom_kill 99\n")
    assert oom_kills(tmp_path) == 3


def test_in_a_container_the_group_is_the_root_of_what_is_mounted(tmp_path):
    put(tmp_path, "proc/self/cgroup", "0::/outside/of/view\n")
    put(tmp_path, "sys/fs/cgroup/memory.events", "oom_kill 4\n")
    assert oom_kills(tmp_path) == 4


def test_version_1_counts_in_memory_oom_control(tmp_path):
    put(tmp_path, "proc/self/cgroup", "9:cpu,cpuacct:/\n4:memory:/jobs/7\n0::/\n")
    put(tmp_path, "sys/fs/cgroup/memory/jobs/7/memory.oom_control", "oom_kill_disable 0\noom_kill 2\n")
    assert oom_kills(tmp_path) == 2


def test_without_a_memory_cgroup_the_host_s_count_is_taken(tmp_path):
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "proc/vmstat", "pgfault 1\noom_kill 6\n")
    assert oom_kills(tmp_path) == 6


def test_a_kernel_that_does_not_count_is_unknown(tmp_path):
    assert oom_kills(tmp_path) is None
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/memory.events", "oom 5\n")
    assert oom_kills(tmp_path) is None
