from modeltest.machine.control_groups import group_folders


def folders(root, text, controller="memory"):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)
    mounted = root / "sys/fs/cgroup"
    return [str(folder.relative_to(mounted)) for folder in group_folders(controller, root)]


def test_the_innermost_group_is_first_and_the_mounted_root_last(tmp_path):
    assert folders(tmp_path, "0::/jobs/7\n") == ["jobs/7", "jobs", "."]


def test_version_1_has_a_tree_for_each_controller(tmp_path):
    text = "9:cpu,cpuacct:/c\n4:memory:/jobs\n"
    assert folders(tmp_path, text) == ["memory/jobs", "memory"]
    (tmp_path / "other").mkdir()
    assert folders(tmp_path / "other", text, "cpu") == ["cpu/c", "cpu"]


def test_a_group_outside_of_what_is_mounted_stays_inside(tmp_path):
    """A process in another namespace than its files sees `/../..` before its own group."""
    assert folders(tmp_path, "0::/../../jobs\n") == ["jobs", "."]


def test_without_the_kernel_s_file_there_is_no_group(tmp_path):
    assert group_folders("memory", tmp_path) == ()
