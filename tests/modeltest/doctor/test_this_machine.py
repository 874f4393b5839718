import socket
import sys

import pytest

from modeltest.doctor import machine
from modeltest.doctor.machine import ThisMachine

HERE = ThisMachine()


def test_files_are_read_and_their_absence_is_told(tmp_path):
    (tmp_path / "a").write_text("text")
    assert HERE.text_of(str(tmp_path / "a")) == "text"
    assert HERE.text_of(str(tmp_path / "b")) is None
    assert HERE.text_of(str(tmp_path)) is None
    assert [HERE.exists(str(path)) for path in (tmp_path, tmp_path / "b")] == [True, False]
    assert not HERE.exists("x" * 5000)
    assert HERE.paths(f"{tmp_path}/*") == (str(tmp_path / "a"),)


def test_a_folder_that_all_may_write_to_is_told(tmp_path):
    tmp_path.chmod(0o777)
    assert HERE.is_open_to_all(str(tmp_path))
    tmp_path.chmod(0o750)
    assert not HERE.is_open_to_all(str(tmp_path))
    assert not HERE.is_open_to_all(str(tmp_path / "absent"))


def test_commands_give_both_outputs_and_their_status():
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = HERE.run(sys.executable, "-c", code)
    assert (done.status, sorted(done.text.split())) == (3, ["err", "out"])
    assert HERE.run("no-such-command-anywhere") is None


def test_a_command_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr(machine, "COMMAND_TIMEOUT_S", 0.01)
    assert HERE.run(sys.executable, "-c", "import time; time.sleep(60)") is None


def test_versions_are_those_installed():
    assert HERE.version_of("pytest") == pytest.__version__
    assert HERE.version_of("no-such-distribution") is None


def test_a_port_someone_listens_on_is_not_free():
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        assert not HERE.is_port_free(server.getsockname()[1])
    assert HERE.is_port_free(HERE.free_port())
