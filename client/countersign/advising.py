"""Bringing a bundle of known vulnerabilities."""

from collections.abc import Callable
from pathlib import Path

from countersign import uploading, waiting
from countersign.advisories import AdvisoryBundle
from countersign.api import Api
from countersign.errors import Rejected, StillPending
from countersign.progress import SENT, OnProgress, Progress


def send(api: Api, path: Path, on_progress: OnProgress) -> AdvisoryBundle:
    """Send a bundle; a cut one is sent again from the start, which asks for its import once only."""
    (item,) = uploading.hash_files({path.name: path}, on_progress)

    def once(_attempt: int) -> AdvisoryBundle:
        with uploading.body_of(item, on_progress) as body:
            return api.import_advisories(item.digest, body)

    sent = api.transport.insist(once)
    on_progress(Progress(item.path, SENT, item.size, item.size))
    return sent


def wait(read: Callable[[], AdvisoryBundle], timeout: float) -> AdvisoryBundle:
    """Read a bundle until it is imported.

    :raises Rejected: it was refused; the message names the faulty records.
    :raises StillPending: ``timeout`` seconds went by first.
    """
    for bundle in waiting.poll(read, timeout, slowest=5.0):
        if bundle.state == "refused":
            error = bundle.error or {}
            raise Rejected(
                f"the bundle was refused: {error.get('message') or 'no reason given'}",
                hint=str(error.get("hint") or ""),
                code=str(error.get("code") or "bad-advisory-bundle"),
            )
        if bundle.state == "done":
            return bundle
    raise StillPending(
        f"{bundle.digest} is not imported after {timeout:.0f} s", hint=f"It goes on without you. See {bundle.url}"
    )
