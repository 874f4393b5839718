"""What every finding must be: in the state expected, on one line, and with a way out where it needs one."""

from modeltest.doctor.finding import Finding, State

OK, WARNING, WRONG, ABSENT, SKIPPED = State.OK, State.WARNING, State.WRONG, State.ABSENT, State.SKIPPED


def assert_found(finding: Finding, state: State, said: str, mend: str) -> None:
    assert (finding.state, said in finding.said, mend in finding.mend) == (state, True, True), finding
    assert bool(finding.mend) == (state in (WARNING, WRONG, ABSENT))
    assert "\n" not in finding.line
