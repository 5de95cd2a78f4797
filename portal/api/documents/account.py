"""Who asks, tokens, and what the server says of itself, as JSON."""

from typing import Annotated, Literal

from pydantic import Field

from portal.api.documents.base import Document, Input, Moment, Page
from registry import tokens
from registry.access import ALL_SCOPES, Actor
from registry.orm.account import ApiToken
from registry.tokens import Presented

Scope = Annotated[str, Field(json_schema_extra={"enum": list(ALL_SCOPES)})]


class TargetDocument(Document):
    """A platform that the workers bake for."""

    os: str
    arch: str
    libc: str
    python: str


class DiscoveryDocument(Document):
    """What a client asks first."""

    api: str
    """Where the API is."""
    version: str
    client_minimum: str
    """Oldest client that is understood."""
    max_upload_bytes: int
    targets: list[TargetDocument]
    """Of the workers that reported lately; empty when none is up."""
    formats: list[str]


class TokenDocument(Document):
    """An API token; the secret itself is told once, to whoever made it."""

    id: str
    name: str
    scopes: list[Scope]
    service: str | None
    """Service account it belongs to; null for a person's own."""
    created_at: Moment
    expires_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None
    token: str | None = None

    @classmethod
    def of(cls, row: ApiToken, *, service: str | None, secret: str | None = None) -> "TokenDocument":
        """From a row."""
        return cls(
            id=str(row.id),
            name=row.name,
            scopes=row.scopes,
            service=service,
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
            token=secret,
        )


class TokenPage(Page[TokenDocument]):
    """Tokens of the person and of their teams' service accounts, newest first."""


class NewToken(Input):
    """A token to make; it can have only scopes of the token that asks."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(ALL_SCOPES))]
    days: Annotated[int, Field(ge=1, le=tokens.MAX_DAYS)] = 30


class TokenBrief(Document):
    """The token in use."""

    id: str
    name: str
    scopes: list[Scope]
    expires_at: Moment


class IdentityDocument(Document):
    """Whom the token speaks for."""

    actor: str
    """`person:<id>` or `service:<id>`, as audit entries have it."""
    name: str
    kind: Literal["person", "service"]
    teams: list[str]
    roles: list[str]
    token: TokenBrief

    @classmethod
    def of(cls, actor: Actor, token: Presented, teams: list[str]) -> "IdentityDocument":
        """From the actor and the token they came with."""
        return cls(
            actor=actor.ref,
            name=actor.name,
            kind="person" if actor.person_id else "service",
            teams=teams,
            roles=sorted(actor.roles),
            token=TokenBrief(id=str(token.id), name=token.name, scopes=token.scopes, expires_at=token.expires_at),
        )
