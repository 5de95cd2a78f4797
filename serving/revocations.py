"""The mounted revocation list: what it names answers no more, from the next second on.

What was revoked stays so until the process ends, whatever the file becomes: a list that is gone, broken, older or signed by
another key changes nothing but the log.
"""

from collections.abc import Callable, Collection
from pathlib import Path

from formats import revocations
from formats.manifest import Model
from formats.revocations import Revocation
from formats.seals import BadSeal
from formats.shapes import ShapeError
from serving.errors import Refusal
from serving.logs import Log
from serving.metrics import Metrics
from serving.mounted import MountedFile


class BadList(ValueError):
    """The file is not taken; the message says why."""


class RevocationFile:
    """What is revoked of ``models``, as the list at ``path`` says, which the key ``fingerprint`` must have signed.

    :param image_digest: of the image that runs, which it cannot know by itself; None: entries about images are not compared.
    :raises Refusal: there is no list, or not one that can be trusted.
    """

    def __init__(
        self,
        path: Path,
        *,
        fingerprint: str,
        image_digest: str | None,
        models: Collection[Model],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.revoked: set[str] = set()  # refs of models
        self._file = MountedFile(path)
        self._fingerprint = fingerprint
        self._image_digest = image_digest
        self._models = models
        self._metrics = metrics
        self._log = log
        self._issued_at = ""
        self._file.changed()
        try:
            self._take()
        except BadList as error:
            raise Refusal(f"{path}: {error}") from None

    def look(self, withdraw: Callable[[Collection[str]], None]) -> None:
        """Read the list if it is another one than last time, and hand the refs that it revokes anew to ``withdraw``."""
        if not self._file.changed():
            return
        try:
            found = self._take()
        except BadList as error:
            self._log.error("revocation list refused", file=str(self._file.path), reason=str(error))
            return
        if found:
            withdraw(found)

    def _take(self) -> Collection[str]:
        """The refs that the list revokes and the ones before it did not."""
        if self._file.text is None:
            raise BadList("it cannot be read; expected the signed revocation list")
        try:
            given = revocations.open_sealed(self._file.text, self._fingerprint)
        except (BadSeal, ShapeError) as error:
            raise BadList(str(error)) from None
        if given.issued_at < self._issued_at:
            raise BadList(f"issued at {given.issued_at}, older than the one held, of {self._issued_at}")
        self._issued_at = given.issued_at
        self._metrics.show_revocations(given.issued_at)
        self._log.info("revocation list taken", issued_at=given.issued_at, entries=len(given.revoked))
        found: dict[str, Revocation] = {}
        for entry in given.revoked:
            found |= {model.ref: entry for model in self._models if self._concerns(entry, model)}
        anew = found.keys() - self.revoked
        for ref in sorted(anew):
            entry = found[ref]
            self._log.error("revoked", model=ref, by=entry.kind, digest=entry.digest, revoked_at=entry.revoked_at)
        self.revoked |= anew
        return anew

    def _concerns(self, entry: Revocation, model: Model) -> bool:
        if entry.kind == "image":
            return entry.digest == self._image_digest
        return entry.digest == model.release_digest
