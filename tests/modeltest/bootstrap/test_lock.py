from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modeltest.bootstrap.lock import locked
from modeltest.bootstrap.messages import NotReady

CHECKOUT = Path(__file__).resolve().parents[3]
SECOND = """
import sys
from pathlib import Path
from modeltest.bootstrap.lock import locked
with locked(Path(sys.argv[1])) as file:
    print(file.read())
"""


def test_second_run_waits_and_reads_what_the_first_wrote(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "lock"
    with locked(path) as file:
        second = subprocess.Popen(
            [sys.executable, "-c", SECOND, str(path)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        assert second.stderr.readline() == "run.sh: another run.sh is installing; waiting for it\n"
        file.write("done by the first")
    out, _ = second.communicate(timeout=30)
    assert out == "done by the first\n"
    assert second.returncode == 0


def test_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError
    with locked(tmp_path / "lock") as file:
        assert file.read() == ""


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(NotReady, match="MODELTEST_VENV names another place"),
        locked(tmp_path / "file" / "lock"),
    ):
        pass


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "somebody's file")
    with pytest.raises(NotReady), locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "somebody's file").exists()
