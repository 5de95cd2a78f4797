"""Weight of every page a person can come to by links: its bytes as sent, and all it brings along at a first visit.

The portal holds 1,000 models and one that went the whole road, so that lists are full and no page is an empty one.
"""

import gzip
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from flask import Flask
from flask.testing import FlaskClient

from bench import journey, seeding
from bench.figures import Figure, NotMeasured, Options, Result, Target
from bench.installation import PEOPLE, Installation, installed
from portal import create_app, logs
from portal.installation import here
from registry import accounts, signing_in

MODELS = 1_000
OF_A_KIND = 3
"""Pages of one kind that are weighed for each person, e.g. three models of a thousand."""
ROLES = ("root", *PEOPLE)
SHOWN = 10
"""Kinds of pages in the table, the heaviest; the rest is summed up."""
KB = 1000
ASSETS = {"link": "href", "script": "src", "img": "src"}
WITH_WEIGHT = frozenset({"stylesheet", "icon", "modulepreload", "preload"})
NO_PAGE = re.compile(r"^/(api|static|\.well-known)/|^/(healthz|readyz|metrics|favicon\.ico)$|/files/")
"""Addresses of programs; and of files, whose bytes the 1,000 models do not have."""
IMPORT = re.compile(r"""^\s*(?:import|export)\b[^;'"]*?["'](\.[^"']+)["']""", re.MULTILINE)
CSS_URL = re.compile(r"""url\(["']?(?!data:)([^"')]+)""")


@dataclass
class Weight:
    """Bytes on the wire, and what gzip at its best would make of the same."""

    kind: str
    path: str
    html: int = 0
    total: int = 0
    best: int = 0


@dataclass
class Parts(HTMLParser):
    """Links of a page, and the addresses it loads by itself."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        values = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        address = values.get(ASSETS.get(tag, ""), "")
        if address and (tag != "link" or WITH_WEIGHT & set(values.get("rel", "").split())):
            self.loads.append(address)


class Visitor:
    """One person's browser with an empty cache; every answer is what the server would send to it."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self._kept: dict[str, tuple[int, bytes]] = {}

    def open(self, path: str) -> tuple[int, bytes, str]:
        """Bytes on the wire, the content, and its media type; nothing when it is no page."""
        answer = self._client.get(path, headers={"Accept-Encoding": "gzip"})
        wire = answer.get_data()
        packed = answer.headers.get("Content-Encoding") == "gzip"
        if answer.status_code >= 500:
            raise NotMeasured(f"{path} answers {answer.status_code}")
        if answer.status_code != 200:
            return 0, b"", ""
        return len(wire), gzip.decompress(wire) if packed else wire, answer.mimetype

    def load(self, address: str) -> Iterator[tuple[int, bytes]]:
        """A style sheet, script or picture, and all it loads in turn; bytes on the wire and content of each."""
        waiting, seen = [address], set()
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            if path not in self._kept:
                wire, content, _ = self.open(path)
                self._kept[path] = (wire, content)
            wire, content = self._kept[path]
            yield wire, content
            found = IMPORT if path.endswith(".js") else CSS_URL if path.endswith(".css") else None
            if found:
                waiting += [urljoin(path, each) for each in found.findall(content.decode())]


def measure(options: Options) -> Result:
    """Follow links from the start page as each person."""
    folder = journey.trained()
    logs.configure("WARNING")
    with installed("process") as place:
        options.say("one model goes the whole road")
        place.stack.start_portal()
        place.stack.start_worker()
        pushed = journey.push(place, folder, 0)
        with journey.approved_and_served(place, pushed.number):
            pass
        journey.submit(place, journey.push(place, folder, 1).number)
        journey.push(place, folder, 2)
        place.stack.stop()
        scientist = place.actor("sara")
        if scientist.person_id is None:
            raise RuntimeError("a person has an id")
        (team,) = scientist.teams
        seeding.models(place.database, seeding.Owner(team, scientist.person_id), MODELS)
        app = create_app(place.settings, place.database)
        visited: set[str] = set()
        weights = []
        for username in ("", *ROLES):
            options.say(f"pages of {username or 'a stranger'}")
            weights += list(_walk(app, place, username, visited))
    return _result(weights, unseen=_rules(app) - visited)


def _result(weights: list[Weight], unseen: set[str]) -> Result:
    heaviest: dict[str, Weight] = {}
    for weight in weights:
        if weight.kind not in heaviest or heaviest[weight.kind].total < weight.total:
            heaviest[weight.kind] = weight
    ranked = sorted(heaviest.values(), key=lambda weight: weight.total, reverse=True)
    shown, others = ranked[:SHOWN], ranked[SHOWN:]
    figures = [
        Figure(
            f"page {weight.kind}",
            weight.total / KB,
            "KB",
            weight.best / KB,
            "gzip -9 of the same files",
            Target(100),
            f"{weight.html / KB:.1f} KB of it the page itself",
        )
        for weight in shown
    ]
    notes = [f"{len(weights)} pages of {len(ranked)} kinds were opened by {len(ROLES)} people and a stranger"]
    if others:
        notes.append(
            f"the other {len(others)} kinds weigh {others[-1].total / KB:.1f} to {others[0].total / KB:.1f} KB"
        )
    if unseen:
        notes.append(f"no link led to {', '.join(f'`{rule}`' for rule in sorted(unseen))}")
    return Result(figures, notes)


def _rules(app: Flask) -> set[str]:
    """Every address that could be a page."""
    return {
        each.rule
        for each in app.url_map.iter_rules()
        if "GET" in (each.methods or ()) and not NO_PAGE.search(each.rule)
    }


def _walk(app: Flask, place: Installation, username: str, visited: set[str]) -> Iterator[Weight]:
    """Weigh what links lead to, a few pages of each kind; ``visited`` gets the rule of every address tried."""
    client = _signed_in(app, place, username)
    visitor = Visitor(client)
    adapter = app.url_map.bind("localhost")
    waiting, seen, of_kind = deque(["/" if username else "/login"]), set(), dict[str, int]()
    while waiting:
        path = waiting.popleft()
        address = urlsplit(path)
        if path in seen or address.netloc or not adapter.test(address.path, "GET"):
            continue
        seen.add(path)
        rule, _ = adapter.match(address.path, "GET", return_rule=True)
        if of_kind.get(rule.rule, 0) >= OF_A_KIND or NO_PAGE.search(rule.rule):
            continue
        visited.add(rule.rule)
        wire, content, kind = visitor.open(path)
        if kind != "text/html":
            continue
        of_kind[rule.rule] = of_kind.get(rule.rule, 0) + 1
        parts = Parts()
        parts.feed(content.decode())
        waiting += [urljoin(path, link).partition("#")[0] for link in parts.links]
        loaded = [(wire, content)]
        for load in dict.fromkeys(parts.loads):
            loaded += visitor.load(urljoin(path, load))
        total = sum(size for size, _ in loaded)
        best = sum(min(len(body), len(gzip.compress(body, 9))) for _, body in loaded)
        yield Weight(rule.rule, path, wire, total, best)


def _signed_in(app: Flask, place: Installation, username: str) -> FlaskClient:
    """A browser in which somebody is signed in with both factors; the domain opens the session."""
    client = app.test_client()
    if username:
        with app.app_context(), place.database.write() as session:
            person = accounts.load_person(session, username=username)
            secret = signing_in.sign_in(session, person, limits=here().limits, user_agent="bench", second_factor=True)
        with client.session_transaction() as cookie:
            cookie["_user_id"], cookie["name"] = secret, person.id.hex
    return client
