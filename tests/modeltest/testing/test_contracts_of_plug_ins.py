"""The suites for plug-ins pass on our own, and fail on those that break a contract."""

import pytest
from accuracy_runs import accuracy_run

from modeltest.api import Completion, Record, RunSpec, Score, TaskData, TaskOptions
from modeltest.tasks.boolq import BoolQ
from modeltest.tasks.gsm8k import GSM8K
from modeltest.tasks.mmlu import MMLU
from modeltest.testing import ReportContract, TaskContract
from modeltest.testing.report_contract import Written
from modeltest.testing.task_contract import Asked
from reports.ci.junit_xml import JUnitXml
from reports.ci.summary_md import SummaryMd
from reports.json.accuracy import AccuracyJson
from reports.json.metrics import MetricsJson

FOUR = {"question": "Which?", "A": "one", "B": "two", "C": "three", "D": "four"}
QUESTIONS = TaskData(
    records=[
        Record(f"logic/{n}", "logic", {**FOUR, "question": f"Which, {n}?", "answer": "B"}) for n in range(3)
    ],
    shots={"logic": [Record("logic/dev/0", "logic", {**FOUR, "answer": "A"})]},
    subjects={"logic": {"category": "STEM"}},
)
PASSAGES = TaskData(
    records=[
        Record(
            f"boolq/{n}",
            "boolq",
            {"title": "Sea", "passage": "It is salt.", "question": f"so {n}", "answer": "yes"},
        )
        for n in range(2)
    ],
    shots={},
    subjects={"boolq": {}},
)
SUMS = TaskData(
    records=[
        Record(f"gsm8k/{n}", "gsm8k", {"question": f"{n} + 1?", "answer": f"So. #### {n + 1}"})
        for n in range(2)
    ],
    shots={"gsm8k": [Record("gsm8k/train/0", "gsm8k", {"question": "1 + 1?", "answer": "So. #### 2"})]},
    subjects={"gsm8k": {}},
)
TASKS = [
    pytest.param((task, data, protocol, shots), id=f"{task.name}-{protocol}-{shots}")
    for task, data in ((MMLU(), QUESTIONS), (BoolQ(), PASSAGES), (GSM8K(), SUMS))
    for protocol, shots in (("modeltest", 0), ("modeltest", 1), ("lm-eval", 0), ("lm-eval", 1))
    if not (task.name == "boolq" and shots)
]


class TestOurTasks(TaskContract):
    """The contract holds for our own tasks in every protocol."""

    @pytest.fixture(params=TASKS)
    def asked(self, request):
        task, data, protocol, shots = request.param
        options = TaskOptions(shots=shots)
        return Asked(
            task, data, RunSpec("fake", "m", task.name, "auto", "none", protocol=protocol, options=options)
        )


class TestOurReports(ReportContract):
    """The contract holds for our own reports."""

    @pytest.fixture(params=[JUnitXml, SummaryMd, AccuracyJson, MetricsJson])
    def written(self, request):
        return Written(request.param(), accuracy_run())


class Forgetful(MMLU):
    """Takes a failed request for a wrong answer, and changes its mind about prompts."""

    times = 0

    def score(self, record, data, completion: Completion, spec):
        return Score(record.id, record.subject, "", "B", predicted="A", correct=False)

    def requests(self, data, spec):
        type(self).times += 1
        return list(super().requests(data, spec))[: type(self).times]


@pytest.mark.parametrize(
    "name",
    [
        "test_a_failed_request_is_failed_and_not_wrong",
        "test_every_record_is_asked_once_and_alike_whenever_it_is",
    ],
)
def test_a_task_that_breaks_the_contract_fails_the_suite(name):
    asked = Asked(Forgetful(), QUESTIONS, RunSpec("fake", "m", "mmlu", "auto", "none"))
    with pytest.raises(AssertionError):
        getattr(TaskContract(), name)(asked)


class Chatty(SummaryMd):
    """Leaves a file behind that it says nothing of."""

    def write(self, result, directory):
        (directory / "left.tmp").write_text("half")
        return super().write(result, directory)


def test_a_report_that_breaks_the_contract_fails_the_suite(tmp_path):
    with pytest.raises(AssertionError):
        ReportContract().test_it_writes_what_it_says_and_nothing_else(
            Written(Chatty(), accuracy_run()), tmp_path
        )
