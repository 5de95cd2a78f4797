"""Log lines: one JSON object each, those of a moment written together, and none lost."""

import json
import subprocess
import sys

import pytest

from serving.logs import GATHERED, Log


def events(capsysbinary):
    return [json.loads(line)["event"] for line in capsysbinary.readouterr().out.splitlines()]


def test_a_line_holds_what_is_known_and_nothing_below_the_threshold(capsysbinary):
    log = Log("info")
    log.write("debug", "hidden", {})
    log.info("request", status=200)
    (line,) = capsysbinary.readouterr().out.splitlines()
    told = json.loads(line)
    assert told.pop("at").endswith("Z")
    assert told == {"level": "info", "event": "request", "status": 200}


@pytest.fixture
def timers():
    """What the loop was asked to do later."""
    return []


@pytest.fixture
def log(timers):
    """A log that gathers."""
    made = Log("info")
    made.let_wait(lambda seconds, flush: timers.append(flush))
    return made


def test_lines_of_a_moment_are_written_together(log, timers, capsysbinary):
    log.gather("first", {})
    log.gather("second", {})
    assert events(capsysbinary) == []
    assert len(timers) == 1, "asked for once, however many lines wait"
    timers.pop()()
    assert events(capsysbinary) == ["first", "second"]
    log.gather("third", {})
    assert len(timers) == 1


def test_many_lines_do_not_wait(log, timers, capsysbinary):
    for _ in range(GATHERED + 1):
        log.gather("request", {})
    assert events(capsysbinary) == ["request"] * GATHERED
    assert len(timers) == 2, "what came after them waits anew"


def test_whatever_else_happens_is_written_at_once_after_what_waited(log, timers, capsysbinary):
    log.gather("before", {})
    log.info("ready")
    assert events(capsysbinary) == ["before", "ready"]
    timers.pop()()
    assert events(capsysbinary) == [], "the timer finds nothing left"


def test_without_a_loop_nothing_waits(capsysbinary):
    Log("info").gather("request", {})
    Log("warning").gather("request", {})
    assert events(capsysbinary) == ["request"]


@pytest.mark.long
def test_where_nobody_reads_the_program_goes_on_and_ends_well():
    program = (
        "import sys, time\nfrom serving.logs import Log\nlog = Log('info')\nlog.info('begun')\nsys.stdin.read()\n"
        "for _ in range(3):\n    log.info('request')\nsys.stderr.write('all done')"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert b"begun" in running.stdout.readline()
        running.stdout.close()
        running.stdin.close()
        assert running.stderr.read() == b"all done"
    assert running.returncode == 0
