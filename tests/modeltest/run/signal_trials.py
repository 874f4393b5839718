"""Signals at random moments of real commands, and what is left when they are given again.

    python tests/modeltest/run/signal_trials.py FOLDER [--count 200] [--seed 0] [--only accuracy_hf,...]

Each trial starts a command, sends it a signal, a third of them while reports are written, gives it again
(with `--resume` where there is one) and compares what came with an undisturbed run: no exit 70, no traceback,
nothing that was journalled lost, the same results and files, no process left. Moments are drawn from the
time that the undisturbed command takes, or its reports. A signal counts when it reached a command at work;
trials go on until `--count` of them do. Prints tables and ends with 1 if something is broken.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from signal_commands import Kind, is_kept, journals, only_folder, prepare
from signalled_process import COMMAND, PATIENCE_S, POLL_S, SignalledProcess, alone

SIGNALS = {
    "INT": [signal.SIGINT],
    "INT twice": [signal.SIGINT, signal.SIGINT],
    "TERM": [signal.SIGTERM],
    "HUP": [signal.SIGHUP],
    "KILL": [signal.SIGKILL],
}
RECEIVERS = ("process", "group", "terminal")
"""The supervisor alone, as from another shell; its whole group; from the terminal, as Ctrl-C is."""

WORKER = "worker"
"""The worker alone, as the kernel kills it for want of memory."""

LONGEST_PAUSE_S = 0.6
"""Between the first and the second of two signals."""

LEFT_PATIENCE_S = 60.0
MAX_MISSES = 12
"""How often in a row a signal may come too late before the times that were measured are not believed."""


@dataclass(frozen=True)
class Course:
    """What a command does when nobody disturbs it; times in seconds after ModelTest has begun."""

    facts: Any
    status: int
    ends_s: float
    works_s: tuple[float, float]
    """From the first sign of a worker to its end."""

    writings: tuple[float, ...]
    """How long reports are written, each time: a suite has reports of each run and its own."""


@dataclass(frozen=True)
class Disturbance:
    """What is sent, to whom, and at which part of the command's course."""

    sent: str
    to: str
    in_reports: bool
    part: float
    pause_s: float

    def __str__(self) -> str:
        place = "of the reports" if self.in_reports else "of its course"
        return f"{self.sent} to {self.to} at {self.part:.2f} {place}"


@dataclass(frozen=True)
class Trial:
    """What came of one signal."""

    kind: str
    disturbance: Disturbance
    status: int
    is_effective: bool
    """It reached a command at work: not one that had ended, or had given the signals back."""

    was_writing: bool
    """It came while reports were written."""

    problem: str | None = None
    left_s: float = 0.0
    """How long processes of it ran on."""

    seconds: float = 0.0


def watch_undisturbed(kind: Kind, output: Path) -> Course:
    """Let a command run to its end, and measure its course."""
    output.mkdir(parents=True)
    errors = output.parent / f"{output.name}.err"
    seen: list[tuple[float, bool, bool]] = []
    with alone(_started(kind.words(output), output, mark=output.name, errors=errors)) as command:
        command.wait_for(lambda: command.has_begun)
        begin = time.monotonic()
        while command.is_alive:
            is_at_work = kind.has_worker and bool(command.workers())
            seen.append((time.monotonic() - begin, is_at_work, kind.is_writing(output)))
            time.sleep(POLL_S)
        ends_s, status, text = time.monotonic() - begin, command.end(), command.text
    assert status in {0, 1}, text
    assert "Traceback" not in text, text
    works = [at for at, is_at_work, _ in seen if is_at_work] or [0.0]
    writings = tuple(_lengths((at, is_writing) for at, _, is_writing in (*seen, (ends_s, False, False))))
    assert writings, f"no reports of {kind.words(output)} were seen"
    return Course(kind.facts(output), status, ends_s, (works[0], works[-1]), writings)


def _lengths(states: Iterable[tuple[float, bool]]) -> Iterable[float]:
    """Yield how long each time lasted in which something was so."""
    since: float | None = None
    for at, is_so in states:
        if is_so and since is None:
            since = at
        elif not is_so and since is not None:
            yield at - since
            since = None


def try_one(name: str, kind: Kind, course: Course, disturbance: Disturbance, output: Path) -> Trial:
    """Disturb one command and say what came of it."""
    output.mkdir(parents=True)
    errors = output.parent / f"{output.name}.err"
    words, begin = kind.words(output), time.monotonic()
    started = _started(
        words, output, mark=output.name, errors=errors, on_terminal=disturbance.to == "terminal"
    )
    with alone(started) as command:
        is_due = _await_moment(command, kind, course, disturbance, output)
        before, was_writing = journals(only_folder(output)), kind.is_writing(output)
        is_effective = is_due and _send(command, disturbance)
        status = command.end()
        text = command.text
        left_s = command.await_nothing_left(LEFT_PATIENCE_S)
        trial = Trial(name, disturbance, status, is_effective, was_writing, left_s=left_s or 0.0)
        if left_s is None:
            return replace(trial, problem=f"processes are left: {command.left()}")
    if not is_effective:
        problem = _of_an_undisturbed(kind, course, output, status, text)
    else:
        problem = _wrong_end(kind, course, disturbance, status, text)
        problem = problem or _after(kind, course, output, before, has_ended=status == course.status)
    return replace(trial, problem=problem, seconds=time.monotonic() - begin)


def _started(
    words: list[str], output: Path, *, mark: str, errors: Path, on_terminal: bool = False
) -> SignalledProcess:
    return SignalledProcess(words, cwd=output.parent, mark=mark, on_terminal=on_terminal, errors=errors)


def _await_moment(
    command: SignalledProcess, kind: Kind, course: Course, disturbance: Disturbance, output: Path
) -> bool:
    """Wait until the signal is due, and say whether the command was there to see it."""
    if not command.wait_for(lambda: command.has_begun):
        return False
    seconds = disturbance.part * course.ends_s
    if disturbance.in_reports:
        number = int(disturbance.part * len(course.writings))
        for _ in range(number):  # the reports of a suite's first runs
            command.wait_for(lambda: kind.is_writing(output))
            command.wait_for(lambda: not kind.is_writing(output))
        if not command.wait_for(lambda: kind.is_writing(output)):
            return False
        seconds = (disturbance.part * len(course.writings) - number) * course.writings[number]
    elif disturbance.to == WORKER:
        if not command.wait_for(lambda: bool(command.workers())):
            return False
        seconds = disturbance.part * (course.works_s[1] - course.works_s[0])
    command.wait_for(lambda: False, seconds)
    return command.has_begun  # and has not given the signals back, which it does at its very end


def _send(command: SignalledProcess, disturbance: Disturbance) -> bool:
    first, *others = SIGNALS[disturbance.sent]
    has_arrived = command.send(first, disturbance.to)
    for number in others:
        command.wait_for(lambda: False, disturbance.pause_s)
        command.send(number, disturbance.to)
    return has_arrived


def _of_an_undisturbed(kind: Kind, course: Course, output: Path, status: int, text: str) -> str | None:
    """Say what is wrong with a command that had ended before its signal."""
    if status != course.status or "Traceback" in text:
        return f"without a signal: status {status}: {text[-300:]}"
    return _other_results(kind, course, output)


def _wrong_end(kind: Kind, course: Course, disturbance: Disturbance, status: int, text: str) -> str | None:
    number = SIGNALS[disturbance.sent][0]
    if disturbance.to == WORKER:
        allowed = {course.status} if kind.goes_on else {course.status, 128 + number}
    else:
        # Below zero: SIGKILL, or when ModelTest had given the signals back, at its very end.
        allowed = {course.status, 128 + number, -number}
    if status not in allowed:
        return f"status {status}: {text[-300:]}"
    if "Traceback" in text:
        return f"a traceback: {text[-600:]}"
    return None


def _after(
    kind: Kind, course: Course, output: Path, before: dict[str, list[bytes]], *, has_ended: bool
) -> str | None:
    """Give the command again and return what is wrong then."""
    folder = only_folder(output) if kind.resumes else None
    left = journals(folder)
    if not is_kept(before, left) and kind.resumes:
        return "what was journalled is lost at the end of the command"
    if has_ended or (kind.resumes is None and any(output.iterdir()) and _is_done(kind, course, output)):
        return _other_results(kind, course, output)  # it was done: `convert` replaces nothing unasked
    words = [kind.resumes or "", "--resume", str(folder)] if folder else kind.words(output)
    again = subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, timeout=PATIENCE_S, cwd=output.parent
    )
    if again.returncode != course.status or "Traceback" in again.stderr:
        return f"given again: status {again.returncode}: {again.stderr[-300:]}"
    if not is_kept(left, journals(folder)):
        return "what was journalled is lost by going on"
    return _other_results(kind, course, output)


def _is_done(kind: Kind, course: Course, output: Path) -> bool:
    return _other_results(kind, course, output) is None


def _other_results(kind: Kind, course: Course, output: Path) -> str | None:
    try:
        found = kind.facts(output)
    except (AssertionError, OSError, ValueError, KeyError, TypeError) as problem:
        return f"no results: {type(problem).__name__}: {problem}"
    return None if found == course.facts else f"other results: {found} instead of {course.facts}"


def run_trials(
    folder: Path, kinds: Mapping[str, Kind], *, count: int, seed: int, tell: Callable[[str], None]
) -> list[Trial]:
    """Disturb `kinds` in turn until `count` signals were effective; equal seeds draw equal signals."""
    dice = random.Random(seed)
    courses: dict[str, Course] = {}
    trials: list[Trial] = []
    effective = misses = 0
    while effective < count:
        turn, place = divmod(effective, len(kinds))
        name = list(kinds)[place]
        if name not in courses:
            courses[name] = watch_undisturbed(kinds[name], folder / f"undisturbed_{seed}_{name}")
            tell(f"{name} undisturbed: {replace(courses[name], facts=...)}")
        disturbance = _drawn(dice, kinds[name], in_reports=(turn + place) % 3 == 2)
        output = folder / f"trial_{seed}_{len(trials)}"
        trial = try_one(name, kinds[name], courses[name], disturbance, output)
        tell(f"{effective + trial.is_effective} {_line(trial)}")
        trials.append(trial)
        effective += trial.is_effective
        misses = 0 if trial.is_effective else misses + 1
        assert misses <= MAX_MISSES, f"no signal reaches {name} in time"
    return trials


def _drawn(dice: random.Random, kind: Kind, *, in_reports: bool) -> Disturbance:
    to = dice.choice((*RECEIVERS, WORKER) if kind.has_worker and not in_reports else RECEIVERS)
    sent = "KILL" if to == WORKER else dice.choice(list(SIGNALS))
    return Disturbance(sent, to, in_reports, part=dice.random(), pause_s=dice.uniform(0, LONGEST_PAUSE_S))


def _line(trial: Trial) -> str:
    reached = "" if trial.is_effective else ", came too late"
    writing = ", while writing" if trial.was_writing else ""
    left = f", processes ran on for {trial.left_s:.1f} s" if trial.left_s > POLL_S else ""
    said = f"BROKEN: {trial.problem}" if trial.problem else "well"
    return (
        f"{trial.kind}: {trial.disturbance}{reached}{writing}: status {trial.status}{left}, "
        f"{trial.seconds:.0f} s: {said}"
    )


def table(trials: list[Trial], of: Callable[[Trial], str] = lambda trial: trial.kind) -> str:
    """Return how many signals each kind got, and how many of them broke something."""
    lines = ["| | sent | effective | while reports | broken |", "|---|---|---|---|---|"]
    groups = {
        name: [trial for trial in trials if of(trial) == name] for name in dict.fromkeys(map(of, trials))
    }
    for name, group in {**groups, "all": trials}.items():
        effective = [trial for trial in group if trial.is_effective]
        writing, broken = sum(t.was_writing for t in effective), sum(t.problem is not None for t in group)
        lines.append(f"| {name} | {len(group)} | {len(effective)} | {writing} | {broken} |")
    return "\n".join(lines)


def main() -> int:
    """Run the trials that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    # A shell starts background jobs with SIGINT ignored, and the commands would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as nohup has it ignored
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = prepare(folder)
    wanted = options.only.split(",") if options.only else list(kinds)
    trials = run_trials(
        folder,
        {name: kinds[name] for name in wanted},
        count=options.count,
        seed=options.seed,
        tell=lambda line: print(line, flush=True),  # noqa: T201
    )
    print(table(trials))  # noqa: T201
    print(table(trials, of=lambda trial: trial.disturbance.sent))  # noqa: T201
    print(table(trials, of=lambda trial: f"to {trial.disturbance.to}"))  # noqa: T201
    return int(any(trial.problem for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
