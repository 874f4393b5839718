from modeltest.run.machine import describe_machine


def test_the_machine_is_described_without_guessing():
    facts = describe_machine()
    assert facts["cpus"] >= 1
    assert facts["memory_bytes"] > 1 << 20
    assert facts["python"].startswith("3.")
    assert all(value is None or value != "" for value in facts.values())
