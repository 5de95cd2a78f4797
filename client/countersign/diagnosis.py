"""What `doctor` looks at, in the order in which one thing needs the one before."""

import email.utils
import importlib.util
import os
import platform
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import countersign
from countersign import checks, config, environment
from countersign.client import Client
from countersign.errors import CountersignError, NotSignedIn
from countersign.models import Identity, Server

_CLOCK_TOLERANCE = 60.0  # seconds
_EXPIRES_SOON = 7.0  # days


@dataclass(frozen=True, slots=True)
class Result:
    """One thing looked at. ``error`` is set when it is wrong, and decides the exit code."""

    level: str
    what: str
    found: str
    hint: str = ""
    error: CountersignError | None = None


def examine(settings: config.Settings) -> Iterator[Result]:
    """Look at everything that can be looked at; what needs a thing that failed is left out."""
    yield _ok("client", f"countersign {countersign.__version__}, Python {platform.python_version()}")
    yield from _config_file(settings.user_file)
    yield _ok("project file", str(settings.project_file or "none"))
    yield from _cache(settings.cache_dir)
    yield from _extras()
    try:
        client = Client(settings=settings)
    except CountersignError as error:
        yield _wrong("server", error)
        return
    if config.is_readable_on_the_way(client.url):
        yield Result(checks.WARNING, "server", f"{client.url} is not encrypted", "Use its https address.")
    try:
        server = client.server
    except CountersignError as error:
        yield _wrong("server", error)
        return
    yield _ok("server", f"{client.url}, version {server.version or 'unknown'}")
    yield from _fit(server)
    yield from _clock(client)
    yield from _token(client)


def _config_file(path: Path) -> Iterator[Result]:
    if not path.exists():
        yield _ok("config file", f"{path} is not there yet")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Result(
            checks.WARNING, "config file", f"others on this machine can read {path}", f"Run `chmod 600 {path}`."
        )
    else:
        yield _ok("config file", str(path))


def _cache(folder: Path) -> Iterator[Result]:
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if os.access(nearest, os.W_OK):
        yield _ok("cache", str(folder))
    else:
        yield Result(checks.WARNING, "cache", f"{folder} cannot be written to", "Set COUNTERSIGN_CACHE_DIR.")


def _extras() -> Iterator[Result]:
    if importlib.util.find_spec("cryptography") is None:
        yield Result(checks.OK, "verify", "not installed", "`pip install countersign[verify]` to check attestations.")
    else:
        yield _ok("verify", "cryptography is installed")


def _fit(server: Server) -> Iterator[Result]:
    for finding in (*checks.check_client(server), *checks.check_python(environment.describe(), server)):
        error = None
        if finding.level == checks.ERROR:
            error = CountersignError(finding.message, hint=finding.hint, code=finding.code)
        yield Result(finding.level, finding.code.replace("-", " "), finding.message, finding.hint, error)


def _clock(client: Client) -> Iterator[Result]:
    date = client.api.server_date()
    if date is None:
        return
    difference = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    if abs(difference) > _CLOCK_TOLERANCE:
        found = (
            f"this machine's clock is {abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} the server's"
        )
        yield Result(checks.WARNING, "clock", found, "Set it by NTP.")
    else:
        yield _ok("clock", "agrees with the server's")


def _token(client: Client) -> Iterator[Result]:
    if not client.has_token:
        yield _wrong("token", NotSignedIn(f"no token for {client.url}", hint="Run `countersign login`."))
        return
    try:
        identity = client.whoami()
    except CountersignError as error:
        yield _wrong("token", error)
        return
    left = _days_left(identity)
    who = f"{identity.name or identity.actor} ({client.settings.token_origin})"
    if left is not None and left < _EXPIRES_SOON:
        yield Result(checks.WARNING, "token", f"{who}; expires in {left:.1f} days", "Make a new one in the portal.")
    else:
        yield _ok("token", who)


def _days_left(identity: Identity) -> float | None:
    if identity.token is None or not identity.token.expires_at:
        return None
    expires = datetime.fromisoformat(identity.token.expires_at)
    return (expires - datetime.now(UTC)).total_seconds() / 86400


def _ok(what: str, found: str) -> Result:
    return Result(checks.OK, what, found)


def _wrong(what: str, error: CountersignError) -> Result:
    return Result(checks.ERROR, what, error.message, error.hint, error)
