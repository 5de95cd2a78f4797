"""What a transfer tells its caller while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

HASHING = "hashing"
SENDING = "sending"
STORED = "already stored"  # the server had these bytes: nothing was sent
SENT = "sent"
RECEIVING = "receiving"
CACHED = "from cache"
RECEIVED = "received"

FINAL = frozenset({STORED, SENT, CACHED, RECEIVED})


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` bytes of the file ``path``; ``state`` is one of the words of this module."""

    path: str
    state: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """For callers who do not watch."""
