"""Bytes on their way in: each file of a push is sent once, under its digest."""

from flask import Response

from portal.api import receiving
from portal.api.answers import Answer
from portal.api.calls import Call
from portal.api.contract import operation
from portal.api.documents.base import Digest, Document
from registry import uploads
from registry.access import Permission
from registry.errors import DigestMismatch, Invalid, NotFound, StorageFull, TooLarge


class BlobDocument(Document):
    """Bytes in the store."""

    digest: Digest
    size: int


@operation("HEAD", "/blobs/<digest>", answers={200: None}, needs=Permission.PUSH, refuses=(Invalid,), browser=True)
def has_blob(call: Call, digest: str) -> Response:
    """Whether bytes are here for you to use.

    Yes if you sent them, or may read a version that holds them; everything else looks as if it were not there.
    """
    blob = uploads.may_refer(call.session, receiving.checked(digest), actor=call.actor)
    if blob is None:
        raise NotFound(f"{digest} is not here for you", hint="Send it with PUT.")
    return Response(status=200, headers={"ETag": f'"{digest}"'})


@operation(
    "PUT",
    "/blobs/<digest>",
    answers={201: BlobDocument, 200: BlobDocument},
    needs=Permission.PUSH,
    raw="application/octet-stream",
    refuses=(Invalid, DigestMismatch, TooLarge, StorageFull),
    browser=True,
)
def put_blob(call: Call, digest: str) -> Answer:
    """Send bytes.

    The raw body, with its Content-Length; it is hashed on the way to disk and kept only if its digest is the one of
    the address. 201 the first time, 200 when you had sent it before.
    """
    size, new = receiving.receive(call.actor, receiving.checked(digest))
    return Answer(BlobDocument(digest=digest, size=size), 201 if new else 200, tagged=False)
