"""What a view gives back, and how it becomes a response: JSON, entity tags, pages with their links."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Response, request
from pydantic import BaseModel

from portal.api.documents.base import Page


@dataclass(frozen=True)
class Answer:
    """A document and how to send it."""

    document: BaseModel | None
    status: int = 200
    revision: int | None = None
    """Of a resource that can be changed: what If-Match is compared with."""
    location: str | None = None
    """Path of what was made."""
    kept: BaseModel | None = None
    """What a repeated request is answered instead, when the document tells something only once."""
    tagged: bool = True
    """Whether the document is a resource's own, so that its tag can be sent back."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """An answer as bytes; what an idempotency key keeps."""

    status: int
    headers: dict[str, str]
    body: str

    def response(self) -> Response:
        """The response; 304 without a body when the reader has exactly this already."""
        response = Response(self.body, self.status, self.headers)
        if request.method in ("GET", "HEAD") and self.status == 200:
            response.headers["Cache-Control"] = "private, no-cache"  # may be kept, and asked for again by its tag
            response.make_conditional(request)
        return response


def render(answer: Answer, *, for_keeping: bool = False) -> Rendered:
    """Serialise an answer."""
    document = answer.kept if for_keeping and answer.kept is not None else answer.document
    headers = dict(answer.headers)
    if answer.location:
        headers["Location"] = answer.location
    if document is None:
        return Rendered(answer.status, headers, "")
    body = document.model_dump_json() + "\n"
    headers["Content-Type"] = "application/json"
    if isinstance(document, Page):
        if document.next:
            headers["Link"] = f'<{_following(document.next)}>; rel="next"'
    elif answer.tagged:
        headers["ETag"] = etag(body, answer.revision)
    return Rendered(answer.status, headers, body)


def etag(body: str, revision: int | None) -> str:
    """``"<revision>.<digest>"``, or the digest alone: the digest is right for caches, the revision for writers.

    What is shown of a resource can change (a name, a sentence with a date) without anything a writer could overwrite.
    """
    digest = hashlib.sha256(body.encode()).hexdigest()[:24]
    return f'"{digest}"' if revision is None else f'"{revision}.{digest}"'


def seen_revision(current: int) -> int | None:
    """The revision that If-Match names: ``None`` without the header, ``current`` when one of its tags is of that.

    ``*`` is the caller's word that any revision will do.
    """
    if "If-Match" not in request.headers:
        return None
    if request.if_match.star_tag:
        return current
    named = {tag.partition(".")[0] for tag in request.if_match.as_set() if tag}  # `""` is read as None
    if str(current) in named:
        return current
    return next((int(text) for text in sorted(named) if text.isascii() and text.isdecimal()), 0)


def _following(cursor: str) -> str:
    args = {**request.args.to_dict(), "cursor": cursor}
    return f"{request.path}?{urlencode(args)}"
