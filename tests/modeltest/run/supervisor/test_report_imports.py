import subprocess
import sys
import threading

from modeltest import registry
from modeltest.run.supervisor.report_imports import importing_for_reports

IMPORT = """
import sys
from modeltest import registry
from modeltest.run.supervisor.report_imports import importing_for_reports
with importing_for_reports(registry.load_task("boolq")):
    pass
print(sorted({"jinja2", "matplotlib.figure", "torch", "transformers"} & {*sys.modules}))
"""


def test_packages_of_plots_and_pages_are_imported_beside_the_supervisor_and_no_library_of_models():
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert done.stdout == "['jinja2', 'matplotlib.figure']\n"
    assert done.stderr == ""


def test_a_run_that_takes_times_keeps_its_machine_quiet():
    before = threading.active_count()
    with importing_for_reports(registry.load_task("performance")):
        assert threading.active_count() == before


def test_a_report_that_fails_to_prepare_is_left_to_its_writing(monkeypatch, capfd):
    class Broken:
        name = "broken"

        def prepare(self):
            raise SystemExit("no")

    monkeypatch.setattr(registry, "reports", lambda: iter([Broken()]))
    with importing_for_reports(registry.load_task("boolq")):
        pass
    assert capfd.readouterr().err == ""
