"""Log lines: one JSON object each, those of one turn of the loop written together, and none lost."""

import json

import pytest

from serving.logs import Log


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
def turns():
    """What the loop was asked to do in its next turn."""
    return []


@pytest.fixture
def log(turns):
    """A log that gathers."""
    made = Log("info")
    made.gather(turns.append)
    return made


def test_lines_of_one_turn_are_written_together_in_the_next(log, turns, capsysbinary):
    log.info("first")
    log.info("second")
    assert events(capsysbinary) == []
    assert len(turns) == 1, "asked for once, however many lines wait"
    turns.pop()()
    assert events(capsysbinary) == ["first", "second"]
    log.info("third")
    assert len(turns) == 1


def test_a_warning_is_written_at_once_after_what_waited(log, turns, capsysbinary):
    log.info("before")
    log.warning("trouble")
    assert events(capsysbinary) == ["before", "trouble"]
    turns.pop()()
    assert events(capsysbinary) == [], "the turn it was asked for finds nothing left"
