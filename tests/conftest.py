"""What every test shares: an environment without network, and tiny models of every family."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from page_watch import NO_BROWSER
from trained_checkpoints import NO_TRAINED_MODEL, NoTrainedModel, checkpoint, is_ci
from transformers_servers import TransformersServer, transformers_serving
from vllm_environment import NO_VLLM, has_vllm
from vllm_servers import VllmServer, serving

# A shell without job control starts background jobs with SIGINT ignored, nohup commands with SIGHUP, and
# processes inherit that: the commands that tests interrupt would not hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No test asserts a time: on a machine with other work to do, any example may take long. What hypothesis
# itself chooses in CI (nothing random) stays.
settings.register_profile(
    "modeltest", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("modeltest")

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# transformers reads it when it is imported; code of remote-code checkpoints stays out of the user's cache.
_MODULES = tempfile.TemporaryDirectory(prefix="modeltest-modules-")
os.environ["HF_MODULES_CACHE"] = _MODULES.name
os.environ.setdefault("OMP_NUM_THREADS", "1")
for _name in (
    "MODELTEST_DEVICE",
    "MODELTEST_ENGINE_PYTHON",
    "MODELTEST_RANK_SECRET",
    "MODELTEST_DATA_DIR",
    "MODELTEST_OUTPUT_DIR",
    "MODELTEST_EVENTS",
    "MODELTEST_BATCH_TIMEOUT",
    "MODELTEST_LOAD_TIMEOUT",
    "MODELTEST_HEARTBEAT_TIMEOUT",
):
    os.environ.pop(_name, None)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ask for the trained model, directly or through another fixture."""
    for item in items:
        if "trained_model" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.trained)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests on vLLM where it is not: `bash run.sh test` runs them where it is."""
    if item.get_closest_marker("vllm") is not None and not has_vllm():
        reason = f"{NO_VLLM}: {sys.executable} has no vllm; `bash run.sh test` makes one that has"
        if is_ci(os.environ):
            pytest.fail(reason)
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end which tests were left out for want of a browser, a network or vLLM."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    for missing, what in (
        (NO_BROWSER, "of pages"),
        (NO_TRAINED_MODEL, "on the trained model"),
        (NO_VLLM, "on vLLM"),
    ):
        of_it = [reason for reason in reasons if missing in reason]
        if of_it:
            why = of_it[0][of_it[0].index(missing) :].rstrip("')")
            tests = f"1 test {what} was" if len(of_it) == 1 else f"{len(of_it)} tests {what} were"
            terminalreporter.write_line(f"NOTICE: {tests} skipped: {why}", yellow=True)


@pytest.fixture(scope="session")
def demo_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function from a family, and a dtype, to the directory of its tiny checkpoint, built once."""
    pytest.importorskip("transformers")
    from modeltest.demo.build import build_demo_model

    root = tmp_path_factory.mktemp("demo_models")

    def build(family: str, dtype: str = "float32") -> Path:
        if family == "internlm2" and version("transformers").startswith("4."):
            pytest.skip("the code that comes with this demo model is for transformers 5")
        directory = root / dtype / family
        return directory if directory.exists() else build_demo_model(family, directory, dtype=dtype)

    return build


@pytest.fixture(scope="session")
def trained_model() -> Callable[[str], Path]:
    """Return a function from a dtype to the directory of SmolLM2-135M-Instruct in it.

    Tests that ask for it have the marker `trained`. Without a network and a cache they are skipped, in CI
    they fail; `bash run.sh test` has made it before they begin.
    """
    pytest.importorskip("transformers")
    known: dict[str, Path] = {}

    def made(dtype: str = "float32") -> Path:
        if dtype not in known:
            known[dtype] = checkpoint(dtype)
        return known[dtype]

    try:
        made()
    except NoTrainedModel as problem:
        if is_ci(os.environ):
            pytest.fail(str(problem))
        pytest.skip(str(problem))
    return made


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """Return the interpreter of the environment with vLLM, which runs the tests that are marked `vllm`."""
    if not has_vllm():
        pytest.fail("a test that asks for vLLM needs the marker `vllm`")
    return Path(sys.executable)


@pytest.fixture(scope="session")
def vllm_server(
    vllm_python: Path, trained_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmServer]:
    """Serve the trained model in float32 by vLLM, one server for all tests; with other flags: `serving`."""
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with serving(vllm_python, trained_model("float32"), log) as server:
        yield server


@pytest.fixture(scope="session")
def transformers_server(
    vllm_python: Path, trained_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TransformersServer]:
    """Serve the trained model in float32 by `transformers serve`, one server for all tests."""
    scratch = tmp_path_factory.mktemp("transformers")
    with transformers_serving(vllm_python, trained_model("float32"), scratch) as server:
        yield server


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the directory of the real datasets; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    directory = Path(os.environ.get("MODELTEST_SHARED_DATA", default))
    if not directory.is_dir():
        pytest.skip("the real datasets are not on this machine (MODELTEST_SHARED_DATA)")
    return directory
