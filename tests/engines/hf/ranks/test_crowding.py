from engines.hf.ranks.team import crowding_note
from modeltest.api import ProcessorUse


def test_ranks_that_share_processors_are_told_to_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(
        "engines.hf.ranks.team.processor_use", lambda: ProcessorUse(threads=1, cpus=2, settings={})
    )
    assert crowding_note("cpu", 2) == crowding_note("cuda", 8) == ()
    assert crowding_note("cpu", 3) == ("3 ranks share 2 processors: they wait for each other",)
