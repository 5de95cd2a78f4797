"""Platforms, changes of them and their waves. Signing one takes a person in the portal."""

from uuid import UUID

from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import operation
from portal.api.documents.base import Listing, Nothing
from portal.api.documents.platforms import (
    MoveDocument,
    MovePage,
    MoveQuery,
    PlatformChangeDocument,
    PlatformChangePage,
    PlatformChangeSummary,
    PlatformDocument,
    PlatformList,
    Proposal,
)
from registry import accounts, platform_changes, platforms, waves
from registry.access import Permission
from registry.errors import Blocked, NotFound, NotInTeam, WrongStage
from registry.orm.platform import ChangeState, MoveState, PlatformChange


@operation("GET", "/platforms", answers={200: PlatformList})
def list_platforms(call: Call) -> Answer:
    """List what workers can bake on, and what is in force."""
    found = platforms.listing(call.session, actor=call.actor)
    return Answer(PlatformList(items=[PlatformDocument.of(row, in_force=front) for row, front in found]))


@operation("GET", "/platform-changes", answers={200: PlatformChangePage})
def list_changes(call: Call, query: Listing) -> Answer:
    """List platform changes, newest first."""
    found = platform_changes.listing(call.session, query.place(), actor=call.actor)
    counts = waves.progress(call.session, found.items)
    names = accounts.display_names(call.session, {change.proposed_by for change in found.items})
    items = [PlatformChangeSummary(**PlatformChangeSummary.members(row, counts[row.id], names)) for row in found.items]
    return Answer(PlatformChangePage(items=items, next=found.next))


@operation(
    "POST",
    "/platform-changes",
    answers={201: PlatformChangeDocument},
    needs=Permission.CHANGE_PLATFORM,
    refuses=(NotFound, Blocked),
)
def propose(call: Call, body: Proposal) -> Answer:
    """Propose a platform for all images in front that do not stand on it.

    The list of images is fixed now. Two different people sign it in the portal; then the wave begins.
    """
    change = platform_changes.propose(call.session, actor=call.actor, digest=body.platform, reason=body.reason)
    return Answer(_document(call, change.id), 201, location=f"/api/v1/platform-changes/{change.id}")


@operation("GET", "/platform-changes/<change_id>", answers={200: PlatformChangeDocument})
def show_change(call: Call, change_id: str) -> Answer:
    """Show a platform change: what differs, who signed, how its wave stands."""
    return Answer(_document(call, ident(change_id, "platform change")))


@operation("GET", "/platform-changes/<change_id>/images", answers={200: MovePage})
def list_images(call: Call, change_id: str, query: MoveQuery) -> Answer:
    """List the images of a change, and what came of each."""
    state = MoveState(query.outcome) if query.outcome else None
    found = waves.listing(call.session, _change(call, change_id), query.place(), actor=call.actor, state=state)
    return Answer(MovePage(items=[MoveDocument.of(move) for move in found.items], next=found.next))


@operation(
    "POST",
    "/platform-changes/<change_id>/withdraw",
    answers={200: PlatformChangeDocument},
    needs=Permission.CHANGE_PLATFORM,
    refuses=(WrongStage,),
)
def withdraw(call: Call, change_id: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Take a proposal back before it is decided."""
    platform_changes.withdraw(call.session, _change(call, change_id), actor=call.actor)
    return Answer(_document(call, ident(change_id, "platform change")))


@operation(
    "POST",
    "/platform-changes/<change_id>/pause",
    answers={200: PlatformChangeDocument},
    needs=Permission.CHANGE_PLATFORM,
    refuses=(WrongStage,),
)
def pause(call: Call, change_id: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Hold a wave: what is being baked ends, nothing more begins."""
    waves.pause(call.session, _change(call, change_id), actor=call.actor)
    return Answer(_document(call, ident(change_id, "platform change")))


@operation(
    "POST",
    "/platform-changes/<change_id>/resume",
    answers={200: PlatformChangeDocument},
    needs=Permission.CHANGE_PLATFORM,
    refuses=(WrongStage,),
)
def resume(call: Call, change_id: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Let a paused wave go on."""
    waves.resume(call.session, _change(call, change_id), actor=call.actor)
    return Answer(_document(call, ident(change_id, "platform change")))


@operation(
    "POST",
    "/platform-changes/<change_id>/images/<digest>/retry",
    answers={202: MoveDocument},
    needs=Permission.BAKE,
    refuses=(NotInTeam, WrongStage),
)
def retry(call: Call, change_id: str, digest: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Have an image tried again that was left behind."""
    move = waves.get(call.session, _change(call, change_id), digest, actor=call.actor)
    waves.retry(call.session, move, actor=call.actor)
    return Answer(MoveDocument.of(move), 202, tagged=False)


def _change(call: Call, change_id: str) -> PlatformChange:
    return platform_changes.get(call.session, ident(change_id, "platform change"), actor=call.actor)


def _document(call: Call, change_id: UUID) -> PlatformChangeDocument:
    change = platform_changes.get(call.session, change_id, actor=call.actor)
    return PlatformChangeDocument.of(
        change,
        waves.progress(call.session, [change])[change.id],
        accounts.display_names(call.session, {change.proposed_by}),
        platforms.differences(change.replaces, change.platform),
        platform_changes.gates_of(call.session, change) if change.state is ChangeState.PROPOSED else [],
    )
