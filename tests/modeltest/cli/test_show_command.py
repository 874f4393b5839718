"""`modeltest list engines` and `doctor` on engines that do not run on every machine."""

from click.testing import CliRunner

from modeltest.cli.doctor import doctor
from modeltest.cli.show import list_


def _row(output, first):
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [first])


def test_the_adapter_that_serves_here_is_listed(monkeypatch):
    monkeypatch.setattr("engines.hf.paged.engine.obstacle", lambda: None)
    assert _row(CliRunner().invoke(list_, ["engines"]).output, "pa_fp16")[2] == "hf_paged"


def test_an_engine_that_cannot_run_here_is_listed_with_its_reason(monkeypatch):
    monkeypatch.setattr("engines.hf.paged.engine.obstacle", lambda: "Sunday")
    output = CliRunner().invoke(list_, ["engines"]).output
    assert _row(output, "pa_fp16")[2] == "hf"
    assert "not hf_paged: Sunday" in " ".join(output.split())


def test_doctor_says_why_an_engine_cannot_run_here(monkeypatch):
    monkeypatch.setattr("engines.hf.paged.engine.obstacle", lambda: "Sunday")
    output = CliRunner().invoke(doctor).output
    assert next(line for line in output.splitlines() if "engine hf_paged" in line).split()[2:] == ["Sunday"]
