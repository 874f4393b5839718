from modeltest.machine import machine
from modeltest.machine.machine import describe_machine


def test_the_machine_is_described_without_guessing():
    facts = describe_machine()
    assert facts["cpus"] >= 1
    assert facts["memory_bytes"] > 1 << 20
    assert facts["python"].startswith("3.")
    assert all(value is None or value != "" for value in facts.values())


def test_the_conditions_that_make_timing_noisy_are_among_the_facts():
    facts = describe_machine()
    assert facts["load_1min"] >= 0
    assert facts["cpus"] <= facts["cpus_online"]
    assert facts["memory_available_bytes"] <= facts["memory_bytes"]
    assert facts["swap_used_bytes"] >= 0
    assert facts["sockets"] is None or facts["sockets"] >= 1


def test_a_host_that_tells_nothing_has_unknown_facts(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_PROCESSORS", tmp_path)
    monkeypatch.setattr(machine, "_MEMORY", tmp_path / "absent")
    facts = describe_machine()
    unknown = ("sockets", "memory_available_bytes", "swap_used_bytes", "cpu_governor")
    assert [facts[name] for name in unknown] == [None] * 4


def test_every_governor_in_use_is_named_once(tmp_path, monkeypatch):
    for cpu, governor in enumerate(("powersave", "performance", "powersave")):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir()
        (topology / "physical_package_id").write_text(f"{cpu % 2}\n")
    monkeypatch.setattr(machine, "_PROCESSORS", tmp_path)
    facts = describe_machine()
    assert facts["cpu_governor"] == "performance, powersave"
    assert facts["sockets"] == 2
