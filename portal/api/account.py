"""Whom a token speaks for, and the tokens themselves."""

from flask import Response
from sqlalchemy import select

from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import operation
from portal.api.documents.account import IdentityDocument, NewToken, TokenDocument, TokenPage
from portal.api.documents.base import Listing
from registry import catalog, tokens
from registry.access import Permission
from registry.errors import Forbidden
from registry.orm.account import ApiToken, Team


@operation("GET", "/whoami", answers={200: IdentityDocument}, needs=None)
def whoami(call: Call) -> Answer:
    """Whom the token speaks for."""
    slugs = call.session.scalars(select(Team.slug).where(Team.id.in_(call.actor.teams)).order_by(Team.slug))
    return Answer(IdentityDocument.of(call.actor, call.token, list(slugs)))


@operation("GET", "/tokens", answers={200: TokenPage}, needs=Permission.MANAGE_TOKENS)
def list_tokens(call: Call, query: Listing) -> Answer:
    """List tokens.

    Your own, and those of your teams' service accounts.
    """
    found = tokens.listing(call.session, query.place(), actor=call.actor)
    return Answer(TokenPage(items=[_document(row) for row in found.items], next=found.next))


@operation("POST", "/tokens", answers={201: TokenDocument}, needs=Permission.MANAGE_TOKENS, refuses=(Forbidden,))
def create_token(call: Call, body: NewToken) -> Answer:
    """Make a token.

    `token` is told in this answer only, and is not told again when the request is repeated under its key.
    """
    row, secret = tokens.create(call.session, actor=call.actor, name=body.name, scopes=body.scopes, days=body.days)
    call.session.flush()
    return Answer(
        TokenDocument.of(row, service=None, secret=secret),
        201,
        revision=_revision(row),
        location=f"/api/v1/tokens/{row.id}",
        kept=TokenDocument.of(row, service=None),
    )


@operation("GET", "/tokens/<token_id>", answers={200: TokenDocument}, needs=Permission.MANAGE_TOKENS)
def show_token(call: Call, token_id: str) -> Answer:
    """Show a token."""
    row = tokens.get(call.session, ident(token_id, "token"), actor=call.actor)
    return Answer(_document(row), revision=_revision(row))


@operation("DELETE", "/tokens/<token_id>", answers={204: None}, needs=Permission.MANAGE_TOKENS, guarded=True)
def revoke_token(call: Call, token_id: str) -> Response:
    """End a token now."""
    row = tokens.get(call.session, ident(token_id, "token"), actor=call.actor)
    catalog.require_revision(_revision(row), call.expected(_revision(row)), what="the token")
    tokens.revoke(call.session, row.id, actor=call.actor)
    return Response(status=204)


def _revision(row: ApiToken) -> int:
    """A token changes once in its life."""
    return 1 if row.revoked_at is None else 2


def _document(row: ApiToken) -> TokenDocument:
    return TokenDocument.of(row, service=row.service.name if row.service else None)
