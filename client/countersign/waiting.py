"""Waiting for what takes its time: checks, people, builds."""

import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from countersign import transport
from countersign.api import Api
from countersign.errors import Conflict, Rejected, StillPending, Unusable, VerificationError
from countersign.models import UNCHECKED_STAGES, Build, Rebuild, Version

GOALS = ("ready", "approved")

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
T = TypeVar("T")


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `2h` or `1d`.

    :raises Unusable: none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None:
        raise Unusable(f"{text!r} is not a duration", hint="Write 90s, 10m, 2h or 1d.")
    return float(match[1]) * _UNITS[match[2]]


def for_version(
    read: Callable[[], Version], until: str, timeout: float, on_change: Callable[[Version], None] | None = None
) -> Version:
    """Read a version until it is `ready` (its checks passed) or `approved`.

    :param on_change: told each time the stage is another one.
    :raises Rejected: it can no longer get there.
    :raises Conflict: nobody has asked for the approval that is waited for.
    :raises StillPending: ``timeout`` seconds went by first.
    """
    if until not in GOALS:
        raise Unusable(f"cannot wait for {until!r}", hint=f"Wait for {' or '.join(GOALS)}.")
    stages: list[str] = []
    for version in poll(read, timeout, slowest=5.0 if until == "ready" else 30.0):
        if not stages or stages[-1] != version.stage:
            stages.append(version.stage)
            if on_change:
                on_change(version)
        if _reached(version, until, was_in_review="in_review" in stages):
            return version
    raise StillPending(
        f"{version.ref} is still {version.stage.replace('_', ' ')} after {timeout:.0f} s: {version.status}",
        hint=f"It goes on without you. Wait again with `countersign wait {version.ref} --until {until}`.",
    )


def for_build(read: Callable[[], Build], timeout: float, on_change: Callable[[Build], None] | None = None) -> Build:
    """Read a build until it is done.

    :raises Rejected: it failed or is blocked.
    :raises StillPending: ``timeout`` seconds went by first.
    """
    state = ""
    for build in poll(read, timeout, slowest=5.0):
        if build.state != state:
            state = build.state
            if on_change:
                on_change(build)
        if build.is_final:
            check_build(build)
            return build
    raise StillPending(
        f"build {build.id} is still {build.state} after {timeout:.0f} s",
        hint=f"It goes on without you. Follow it with `countersign logs -f {build.id}`.",
    )


def check_build(build: Build) -> None:
    """:raises Rejected: the build ended without an image."""
    if build.state == "done":
        return
    error = build.error or {}
    raise Rejected(
        f"build {build.id} {build.state}: {error.get('message') or 'no reason given'}",
        hint=str(error.get("hint") or f"Read `countersign logs {build.id}`."),
        code=str(error.get("code") or "build-failed"),
    )


def for_rebuild(read: Callable[[], Rebuild], timeout: float) -> Rebuild:
    """Read a rebuild until it has ended.

    :raises VerificationError: another image came out.
    :raises Rejected: nothing came out.
    :raises StillPending: ``timeout`` seconds went by first.
    """
    for rebuild in poll(read, timeout, slowest=5.0):
        if rebuild.state == "differs":
            first = rebuild.difference or {}
            what = f"{first.get('role')} {first.get('path')}".strip()
            raise VerificationError(
                f"{rebuild.image_digest} was rebuilt as {rebuild.found_digest}; the first difference is the {what}: "
                f"recorded {first.get('expected') or 'nothing'}, found {first.get('found') or 'nothing'}",
                hint="Do not trust the image before you know why. See " + rebuild.url,
                code="rebuild-differs",
            )
        if rebuild.state == "failed":
            error = rebuild.error or {}
            raise Rejected(
                f"{rebuild.image_digest} could not be rebuilt: {error.get('message') or 'no reason given'}",
                hint=str(error.get("hint") or ""),
                code=str(error.get("code") or "build-failed"),
            )
        if rebuild.is_final:
            return rebuild
    raise StillPending(
        f"the rebuild of {rebuild.image_digest} has not ended after {timeout:.0f} s",
        hint=f"It goes on without you. See {rebuild.url}",
    )


def _reached(version: Version, until: str, *, was_in_review: bool) -> bool:
    if version.stage in UNCHECKED_STAGES:
        return False
    if version.stage == "check_failed":
        failed = [f"{check.step}: {check.summary}" for check in version.checks if check.outcome != "passed"]
        raise Rejected(
            f"the checks of {version.ref} failed{''.join('; ' + text for text in failed)}",
            hint=f"`countersign show {version.ref}` tells why; mend it and push again.",
            code="check-failed",
        )
    if until == "ready" or version.is_approved:
        return True
    if version.stage == "in_review":
        return False
    if version.stage == "ready" and not was_in_review:
        raise Conflict(
            f"{version.ref} is ready, but nobody has submitted it",
            hint=f"Run `countersign submit {version.ref} -m ...`.",
        )
    back = (
        "came back from review without a decision"
        if version.stage == "ready"
        else f"is {version.stage.replace('_', ' ')}"
    )
    raise Rejected(f"{version.ref} {back}: {version.status}", hint=f"See {version.url}" if version.url else "")


def poll(read: Callable[[], T], timeout: float, *, slowest: float) -> Iterator[T]:
    """What ``read`` returns, again and again, ever less often, for ``timeout`` seconds but at least once."""
    ends = time.monotonic() + timeout
    interval = 0.5
    while True:
        yield read()
        left = ends - time.monotonic()
        if left <= 0:
            return
        transport.pause(min(interval, left))
        interval = min(interval * 1.5, slowest)


def log(api: Api, build_id: str, *, follow: bool) -> Iterator[bytes]:
    """The bytes of a build's log; with ``follow``, new ones as they come until the build has ended."""
    offset = 0
    interval = 0.5
    while True:
        # The state is read first: what is written between the two reads is then still fetched.
        ended = not follow or api.build(build_id).is_final
        if new := api.build_log(build_id, offset):
            offset += len(new)
            interval = 0.5
            yield new
        elif ended:
            return
        else:
            transport.pause(interval)
            interval = min(interval * 1.5, 5.0)
