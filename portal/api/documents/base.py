"""What all bodies share: strict input, times, digests, pages, and the problem document."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from portal.api.documents import docstrings
from portal.installation import here
from registry import clock, paging

Item = TypeVar("Item")

Moment = Annotated[
    datetime,
    PlainSerializer(clock.rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T09:41:00Z"]}),
]
DIGEST = r"^sha256:[0-9a-f]{64}$"
Digest = Annotated[str, Field(pattern=DIGEST, description="`sha256:` and 64 lower-case hex digits.")]
SLUG = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
FullName = Annotated[str, Field(pattern=f"^{SLUG}/{SLUG}$", examples=["payments/feedback-voice"])]
Slug = Annotated[str, Field(pattern=f"^{SLUG}$")]
Link = Annotated[str, Field(description="Its page in the portal.")]


class Described(BaseModel):
    """A body whose members are described by the strings below them."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        members = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in docstrings.of(cls).items():
            members[name].setdefault("description", text)
        return schema


class Document(Described):
    """Something the API answers. Members may be added within v1, never taken away."""

    model_config = ConfigDict(frozen=True)


class Input(Described):
    """Something the API is sent: types are not guessed, and unknown members are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Nothing(Input):
    """An act that needs no words."""


class Listing(Described):
    """What every list can be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: Annotated[int, Field(ge=1, le=paging.MAX_LIMIT)] = paging.DEFAULT_LIMIT
    """Most items of one page."""
    cursor: str | None = None
    """`next` of the page before."""

    def place(self) -> paging.Cursor:
        """Where to go on."""
        return paging.Cursor(self.limit, self.cursor or None)


class Page(Document, Generic[Item]):
    """Some items; the rest begins at `next`."""

    items: list[Item]
    next: str | None
    """Cursor of the following page; null on the last."""


class FieldProblem(Document):
    """One member at fault."""

    pointer: str
    """RFC 6901, into the body that was sent."""
    detail: str


class Problem(Document):
    """A refusal (RFC 9457)."""

    type: str
    """Where this code is explained."""
    title: str
    status: int
    detail: str
    """What happened, with the values."""
    code: str
    """Stable; match on this."""
    hint: str
    """What to do next."""
    request_id: str
    errors: list[FieldProblem]


def page(path: str) -> str:
    """The address people open in a browser, for a page of the portal."""
    return here().settings.public_url + path


def name_of(names: Mapping[str, str], ref: str) -> str:
    """Readable name of an actor; its ref where nobody is called so any more."""
    return names.get(ref, ref)
