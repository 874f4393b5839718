import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from urllib.request import urlopen

import pytest

from modeltest.api import PrerequisiteError, SpecError
from modeltest.dashboard.serve import SiteServer


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "history").mkdir(parents=True)
    (folder / "index.html").write_text("overview")
    (folder / "history" / "a.html").write_text("one history")
    (folder / ".lock").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def server(site):
    with SiteServer(site, 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize(
    ("path", "body"), [("/", "overview"), ("/index.html?x#y", "overview"), ("/history/a.html", "one history")]
)
def test_pages_are_served(server, path, body):
    assert get(server, path) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/history/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd",
        "/link.txt",
        "/.lock",
        "/history/",
        "/history",
        "/nowhere.html",
        "/%00",
        "/index.html/",
    ],
)
def test_nothing_but_files_of_the_site_is_served(server, path):
    status, body = get(server, path)
    assert status in (301, 404)
    assert "secret" not in body
    assert "hidden" not in body
    assert "a.html" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(server, method):
    assert get(server, "/index.html", method)[0] == 501


def test_only_this_machine_is_listened_to(server):
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1"])
def test_other_names_of_this_address_are_refused(server, host):
    assert get(server, "/", Host=host)[0] == 403


def test_localhost_is_this_machine(server):
    assert get(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_a_folder_without_a_site_is_refused(tmp_path):
    with pytest.raises(SpecError, match="holds no site"):
        SiteServer(tmp_path, 0)


def test_a_port_in_use_is_said(site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PrerequisiteError, match="is in use; choose another with --port N"):
            SiteServer(site, taken.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_cleanly(site, number):
    words = [sys.executable, "-m", "modeltest", "dashboard", "serve", str(site), "--port", "0"]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ)
    address = running.stderr.readline().split()[0]
    # The line is there before it is written as far as the process knows; once it answers, it serves.
    assert urlopen(address, timeout=20).status == 200
    running.send_signal(number)
    _, said = running.communicate(timeout=20)
    assert (running.returncode, said.splitlines()) == (0, ["stopped"])
