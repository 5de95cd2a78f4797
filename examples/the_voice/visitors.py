"""Who looks at the live page, what they sent, and which version answered how often. In memory, gone with the process."""

import re
import secrets
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from inference import Answer
from routing import Route

KEY = re.compile(r"[0-9a-f]{32}")
REMEMBERED_VISITORS = 500
REMEMBERED_ANSWERS = 12


@dataclass(frozen=True, slots=True)
class Routed:
    """One message, its answer and where it went."""

    text: str
    answer: Answer
    route: Route


@dataclass(slots=True)
class Visitor:
    """One browser. Its key is sent with every message it asks about, so one version answers all of them."""

    key: str = field(default_factory=lambda: secrets.token_hex(16))
    history: deque[Routed] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ANSWERS))


class Visitors:
    """The visitors seen last, and the count of answers by version over all of them. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[str, Visitor] = OrderedDict()
        self._versions: Counter[str] = Counter()

    def greet(self, key: str | None) -> Visitor:
        """The visitor with this key; a new one if the key is missing or not one of ours."""
        with self._lock:
            visitor = self._known.pop(key, None) if key else None
            if visitor is None:
                visitor = Visitor(key) if key and KEY.fullmatch(key) else Visitor()
            self._known[visitor.key] = visitor
            while len(self._known) > REMEMBERED_VISITORS:
                self._known.popitem(last=False)
            return visitor

    def record(self, visitor: Visitor, routed: Iterable[Routed]) -> None:
        """Remember answers, the newest first in the visitor's history."""
        with self._lock:
            for one in routed:
                visitor.history.appendleft(one)
                self._versions[one.answer.version] += 1

    def history(self, visitor: Visitor) -> list[Routed]:
        with self._lock:
            return list(visitor.history)

    def versions(self) -> list[tuple[str, int]]:
        """Answers so far by version, over all visitors."""
        with self._lock:
            return sorted(self._versions.items())
