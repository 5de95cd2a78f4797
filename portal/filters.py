"""How values read on a page: times, sizes, numbers, digests, names of people."""

import math
import re
from datetime import UTC, datetime

from flask import Flask, g

from formats import digest
from portal import db
from registry import accounts, clock

_UNITS = (
    (31_557_600, "year"),
    (2_629_800, "month"),
    (604_800, "week"),
    (86_400, "day"),
    (3600, "hour"),
    (60, "minute"),
    (1, "second"),
)
"""Seconds in each, longest first; static/js/times.js says the same words."""


def relative(moment: datetime) -> str:
    """``2 days ago``, ``in 3 hours``, ``just now``."""
    delta = (clock.now() - moment).total_seconds()
    size = abs(delta)
    if size < 10:
        return "just now"
    length, unit = next((length, unit) for length, unit in _UNITS if size >= length or length == 1)
    count = int(size // length)
    if unit == "day" and count == 1:
        return "yesterday" if delta > 0 else "tomorrow"
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if delta > 0 else f"in {words}"


def lasting(moment: datetime) -> str:
    """How long something has lasted: ``for 2 days``."""
    words = relative(moment)
    return {"just now": "since a moment ago", "yesterday": "for 1 day"}.get(words, "for " + words.removesuffix(" ago"))


def absolute(moment: datetime) -> str:
    """``22 Nov 2026, 09:41 UTC``."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def day(moment: datetime) -> str:
    """``22 Nov 2026``."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y}"


def size(count: int) -> str:
    """Bytes as people read them: ``12.4 MB``, in powers of a thousand as disks are sold."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{int(amount)} {unit}" if unit == "bytes" else f"{amount:.3g} {unit}"
        amount /= 1000
    raise AssertionError("the last unit has no limit")


def number(value: float | None, digits: int = 4) -> str:
    """A measured number with so many significant digits, thousands apart; a dash when there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    text = f"{value:,.{digits}g}"
    return text if "e" not in text else f"{value:.{digits - 1}e}"


def seconds(duration: float) -> str:
    """``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if duration < 60:
        return f"{duration:.1f} s" if duration < 10 else f"{duration:.0f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def words(value: str) -> str:
    """``in_review`` as ``in review``."""
    return str(value).replace("_", " ")


def browser(agent: str) -> str:
    """A user agent in two words; the whole of it tells a person nothing."""
    names = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    )
    name = next((label for mark, label in names if mark in agent), "")
    system = next((label for mark, label in systems if mark in agent), "")
    if not name:
        return agent.split(" ", 1)[0][:40] or "Unknown"
    return f"{name} on {system}" if system else name


_OPENER = re.compile(
    "(?:an?|another|choose|it|more|no(?:body|thing)?|only|sign-in|somebody|that|the|there|these|this|unknown|what|your?) "
)
"""Words that begin a message and are not somebody's name."""


def sentence(error: object) -> str:
    """A refusal's message as a sentence; one that begins with a name, ``ana exists already``, keeps its case."""
    text = str(error).strip()
    if _OPENER.match(text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def plural(count: int, one: str, many: str = "") -> str:
    """``1 version``, ``3 versions``, ``2 people`` (``plural(2, 'person', 'people')``)."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def who(ref: str) -> str:
    """The readable name of an actor ref; ``name_actors`` looked up all of a page's beforehand in two queries."""
    known: dict[str, str] = g.setdefault("actor_names", {})
    if ref not in known:
        name_actors({ref})
    return known.get(ref, "somebody no longer known")


def name_actors(refs: set[str]) -> None:
    """Look up the names of these actors once, for the ``who`` filter."""
    known: dict[str, str] = g.setdefault("actor_names", {})
    missing = {ref for ref in refs if ref} - known.keys()
    if missing:
        with db.reading() as unit:
            known.update(accounts.display_names(unit, missing))


def init_app(app: Flask) -> None:
    """Register all of them."""
    app.jinja_env.filters.update(
        relative=relative,
        lasting=lasting,
        absolute=absolute,
        day=day,
        iso=clock.rfc3339,
        bytes=size,
        number=number,
        duration=seconds,
        words=words,
        short_digest=digest.short,
        who=who,
        browser=browser,
    )
    app.jinja_env.globals.update(plural=plural, sentence=sentence, now=clock.now)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
