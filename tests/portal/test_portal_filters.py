"""How values read."""

from datetime import timedelta

import pytest

from portal import filters
from registry import clock


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=42), "42 seconds ago"),
        (timedelta(minutes=1, seconds=5), "1 minute ago"),
        (timedelta(hours=5), "5 hours ago"),
        (timedelta(days=1, hours=2), "yesterday"),
        (timedelta(days=6), "6 days ago"),
        (timedelta(days=20), "2 weeks ago"),
        (timedelta(days=200), "6 months ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(hours=-3, seconds=-5), "in 3 hours"),
        (timedelta(days=-1, hours=-1), "tomorrow"),
    ],
)
def test_relative(ago: timedelta, words: str) -> None:
    assert filters.relative(clock.now() - ago) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (12_400_000, "12.4 MB"), (5 * 10**15, "5e+03 TB")],
)
def test_size(count: int, words: str) -> None:
    assert filters.size(count) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.8712345, "0.8712"), (5569.0, "5,569"), (None, "–"), (float("nan"), "–"), (1e-7, "1.000e-07"), (0.0, "0")],
)
def test_number(value: float | None, words: str) -> None:
    assert filters.number(value) == words


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("your session has ended", "Your session has ended."),
        ("payments/voice has no version 9", "payments/voice has no version 9."),
        ("ana exists already", "ana exists already."),
        ("this is done.", "This is done."),
    ],
)
def test_sentence(text: str, sentence: str) -> None:
    assert filters.sentence(text) == sentence


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.21, "4.2 s"), (59.7, "60 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_duration(seconds: float, words: str) -> None:
    assert filters.seconds(seconds) == words
