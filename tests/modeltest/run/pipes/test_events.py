import signal
import subprocess
import sys
import threading

import pytest

from modeltest.run.pipes.events import EventReader, EventWriter


def test_events_arrive_in_order_and_whole(tmp_path):
    reader = EventReader(tmp_path / "pipe")
    writer = EventWriter(str(tmp_path / "pipe"))
    for number in range(3):
        writer.send("progress", done=number, note="问" * number)
    assert [event["done"] for event in reader.read()] == [0, 1, 2]
    assert list(reader.read()) == []


def test_a_worker_does_not_wait_for_a_supervisor_that_died_before_it_listened(tmp_path):
    EventReader(tmp_path / "pipe").close()
    with pytest.raises(SystemExit, match="the supervisor is gone"):
        EventWriter(str(tmp_path / "pipe"))
    assert not (tmp_path / "pipe").exists()


def test_an_event_longer_than_the_pipe_arrives(tmp_path):
    reader = EventReader(tmp_path / "pipe")
    writer = EventWriter(str(tmp_path / "pipe"))
    sender = threading.Thread(target=writer.send, args=("error",), kwargs={"message": "x" * 300_000})
    sender.start()
    events = []
    while not events:
        events = list(reader.read())
    sender.join()
    assert len(events[0]["message"]) == 300_000


def test_without_a_pipe_events_go_nowhere():
    EventWriter(None).send("progress", done=1)


def test_a_worker_whose_supervisor_is_gone_ends_at_once_though_it_says_nothing(tmp_path):
    pipe = tmp_path / "pipe"
    reader = EventReader(pipe)
    code = (
        "import sys, time; from modeltest.run.pipes.events import EventWriter; w = EventWriter(sys.argv[1]);"
        "w.send('ready'); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, pipe], stderr=subprocess.PIPE, text=True)
    while not list(reader.read()):
        pass
    reader.close()
    _, problem = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert problem == "the supervisor is gone\n"


def test_a_worker_without_a_supervisor_that_does_not_hear_is_killed(tmp_path):
    pipe = tmp_path / "pipe"
    reader = EventReader(pipe)
    code = (
        "import signal, sys, time; from modeltest.run.pipes import events; events.GRACE_S = 0.1;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); w = events.EventWriter(sys.argv[1]);"
        "w.send('ready'); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, pipe], stderr=subprocess.DEVNULL)
    while not list(reader.read()):
        pass
    reader.close()
    assert process.wait(60) == -signal.SIGKILL


def test_a_pipe_is_made_anew_each_time(tmp_path):
    EventReader(tmp_path / "pipe").close()
    with pytest.raises(FileExistsError):
        EventReader(tmp_path / "pipe")


def test_a_heartbeat_begins_at_once(tmp_path):
    reader = EventReader(tmp_path / "pipe")
    writer = EventWriter(str(tmp_path / "pipe"))
    writer.start_heartbeat()
    events = []
    while not events:
        events = list(reader.read())
    assert events[0] == {"event": "heartbeat"}


def test_events_of_two_threads_do_not_mix(tmp_path):
    reader = EventReader(tmp_path / "pipe")
    writer = EventWriter(str(tmp_path / "pipe"))
    senders = [
        threading.Thread(target=writer.send, args=("error",), kwargs={"message": letter * 200_000})
        for letter in "ab"
    ]
    for sender in senders:
        sender.start()
    events = []
    while len(events) < 2:
        events += reader.read()
    assert {event["message"] for event in events} == {"a" * 200_000, "b" * 200_000}
