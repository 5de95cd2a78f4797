"""Files of a form, streamed into the store while the form is still being read.

The form parser pushes, the store pulls; a thread per file joins the two, with a few MB between them. Nothing is kept
until :func:`keep` says so: a form that is cut off, refused or not ours leaves no object behind.
"""

import io
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from flask import Flask, Request, g
from flask.sansio.app import App
from werkzeug.datastructures import FileStorage

from portal import access, db
from portal.installation import here
from registry import importing, uploads
from registry.access import Permission
from registry.errors import Invalid, RegistryError
from registry.store import CHUNK, LocalStore

TAKERS = {"uploads.new": Permission.PUSH, "advisories.imports": Permission.IMPORT_ADVISORIES}
"""Forms with files that are streamed, and what sending them needs."""
TEXT_BYTES = 2 << 20
"""Most bytes of the form's text fields: a card of 200,000 characters fits, in any script."""
AHEAD = 4
"""Pieces of 1 MiB that may wait for the disk."""


class _Aborted(Exception):
    """The form ended before somebody said that the file is wanted."""


class Inflow:
    """Looks like the temporary file that the form parser expects; what is written goes to the store."""

    def __init__(self, store: LocalStore, limit: int) -> None:
        """Nothing is opened before the first bytes come.

        :param limit: most bytes of this file.
        """
        self._store, self._limit = store, limit
        self._held = bytearray()
        self._pieces: queue.Queue[bytes | None] = queue.Queue(AHEAD)
        self._thread: threading.Thread | None = None
        self._stored: tuple[str, int] | None = None
        self._error: Exception | None = None
        self._aborted = False

    # ------------------------------------------------------------------------------ what the form parser calls

    def write(self, data: bytes) -> int:
        """Take some bytes. After a refusal the rest is read and dropped, so that the form's text still arrives."""
        if self._error is None:
            self._held += data
            if len(self._held) >= CHUNK:
                self._hand_over()
        return len(data)

    def seek(self, _offset: int, _whence: int = 0) -> int:
        """The parser rewinds a finished file; there is nothing to read again."""
        return 0

    def close(self) -> None:
        """The request ends; see :meth:`abort`."""

    # ---------------------------------------------------------------------------------------- what a view calls

    def finish(self) -> tuple[str, int]:
        """The file is wanted: publish it; returns (digest, size).

        :raises RegistryError: the store refused it.
        """
        self._hand_over()
        self._put(None)
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        if self._stored is None:
            raise Invalid("the file did not arrive", hint="Send it again.")
        return self._stored

    def abort(self) -> None:
        """Drop what came, unless it was finished."""
        if self._thread is not None and self._thread.is_alive():
            self._aborted = True
            self._put(None)
            self._thread.join()

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._store_it, name="upload", daemon=True)
            self._thread.start()
        if self._held:
            self._put(bytes(self._held))
            self._held.clear()

    def _put(self, piece: bytes | None) -> None:
        """Wait for room, but not for a thread that has ended."""
        while self._thread is not None and self._thread.is_alive():
            try:
                self._pieces.put(piece, timeout=0.2)
            except queue.Full:
                continue
            return

    # ------------------------------------------------------------------------------------- what the store calls

    def read(self, _size: int, /) -> bytes:
        """The next piece; empty at the end."""
        piece = self._pieces.get()
        if self._aborted:
            raise _Aborted
        return piece or b""

    def _store_it(self) -> None:
        try:
            self._stored = self._store.put(self, limit=self._limit)
        except _Aborted:
            pass
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for the file
            self._error = error


class _Nowhere:
    """Swallows what somebody sends who may not push."""

    def write(self, data: bytes) -> int:
        return len(data)

    def seek(self, _offset: int, _whence: int = 0) -> int:
        return 0

    def close(self) -> None:
        pass


class FormRequest(Request):
    """Sends the files of forms that take them to the store; all other forms as usual."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        permission = TAKERS.get(self.endpoint or "")
        if permission is None:
            return super()._get_file_stream(total_content_length, content_type, filename, content_length)
        if not access.may(permission):
            return cast("IO[bytes]", _Nowhere())
        limit = importing.MAX_FILE if permission is Permission.IMPORT_ADVISORIES else here().settings.max_upload_bytes
        inflow = Inflow(here().store, limit)
        g.setdefault("inflows", []).append(inflow)
        return cast("IO[bytes]", inflow)


def install(app: App) -> None:
    """Let ``app`` read forms this way."""
    cast("Flask", app).request_class = FormRequest


def drop() -> None:
    """At the end of a request: drop files that nobody kept."""
    for inflow in g.pop("inflows", []):
        inflow.abort()


@dataclass(frozen=True)
class Kept:
    """A file in the store that this person may refer to."""

    name: str
    digest: str
    size: int


def finish(file: Any) -> Kept | None:
    """Publish one file of a form; ``None`` when none was chosen.

    :raises RegistryError: the store refused it.
    """
    if not isinstance(file, FileStorage) or not file.filename or not isinstance(file.stream, Inflow):
        return None
    digest, size = file.stream.finish()
    return Kept(file.filename, digest, size)


def write(data: bytes) -> None:
    """Store a small document that the form stands for, in a unit of its own."""
    digest, size = here().store.put(io.BytesIO(data))
    with db.separate() as unit:
        uploads.note(unit, actor=g.actor, digest=digest, size=size)


def keep(files: Mapping[str, Any]) -> tuple[dict[str, Kept], dict[str, RegistryError]]:
    """Store the chosen files of a form; returns what is stored and what was refused, by field.

    To be called before the request's unit is opened: each file's owner is noted in a short unit of its own.
    """
    stored: dict[str, Kept] = {}
    refused: dict[str, RegistryError] = {}
    for field, file in files.items():
        try:
            kept = finish(file)
        except RegistryError as error:
            refused[field] = error
            continue
        if kept is not None:
            stored[field] = kept
    if stored:
        with db.separate() as unit:
            for each in stored.values():
                uploads.note(unit, actor=g.actor, digest=each.digest, size=each.size)
    return stored, refused
