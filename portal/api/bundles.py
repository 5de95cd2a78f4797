"""Bundles: named sets of routes, and asking for an image of one."""

from portal.api.answers import Answer
from portal.api.builds import accepted
from portal.api.calls import Call
from portal.api.contract import operation
from portal.api.documents.base import Listing, Nothing
from portal.api.documents.bundles import (
    BuildDocument,
    BundleContent,
    BundleDocument,
    BundlePage,
    NewBundle,
    Rollback,
)
from registry import builds, bundles
from registry.access import Permission
from registry.errors import AlreadyExists, Blocked, NotFound, NotInTeam, Stale


@operation("GET", "/bundles", answers={200: BundlePage})
def list_bundles(call: Call, query: Listing) -> Answer:
    """List bundles by name."""
    found = bundles.listing(call.session, query.place(), actor=call.actor)
    return Answer(BundlePage(items=[BundleDocument.of(bundle) for bundle in found.items], next=found.next))


@operation(
    "POST",
    "/bundles",
    answers={201: BundleDocument},
    needs=Permission.EDIT_BUNDLE,
    refuses=(AlreadyExists, NotInTeam, NotFound),
)
def create_bundle(call: Call, body: NewBundle) -> Answer:
    """Make a bundle."""
    bundles.create(call.session, actor=call.actor, full_name=body.name, routes=body.specs(), rebuild=body.mode())
    return _answer(call, body.name, status=201, location=f"/api/v1/bundles/{body.name}")


@operation("GET", "/bundles/<team>/<name>", answers={200: BundleDocument})
def show_bundle(call: Call, team: str, name: str) -> Answer:
    """Show a bundle."""
    return _answer(call, f"{team}/{name}")


@operation(
    "PUT",
    "/bundles/<team>/<name>",
    answers={200: BundleDocument},
    needs=Permission.EDIT_BUNDLE,
    refuses=(NotInTeam,),
    guarded=True,
)
def change_bundle(call: Call, team: str, name: str, body: BundleContent) -> Answer:
    """Replace the routes of a bundle.

    Nothing is baked by this alone: ask for it, or wait for the next approval.
    """
    bundle = bundles.get(call.session, f"{team}/{name}", actor=call.actor)
    bundles.change(
        call.session,
        bundle,
        actor=call.actor,
        routes=body.specs(),
        rebuild=body.mode(),
        expected=call.expected(bundle.revision),
    )
    return _answer(call, f"{team}/{name}")


@operation(
    "POST",
    "/bundles/<team>/<name>/bake",
    answers={202: BuildDocument},
    needs=Permission.BAKE,
    refuses=(NotInTeam, Blocked),
)
def bake(call: Call, team: str, name: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Ask for an image of a bundle as it stands.

    A build of the same that waits or runs already serves instead.
    """
    bundle = bundles.get(call.session, f"{team}/{name}", actor=call.actor)
    return accepted(call, bundles.bake(call.session, bundle, actor=call.actor).id)


@operation(
    "POST",
    "/bundles/<team>/<name>/rollback",
    answers={200: BundleDocument},
    needs=Permission.BAKE,
    refuses=(NotInTeam, Blocked, Stale),
)
def roll_back(call: Call, team: str, name: str, body: Rollback) -> Answer:
    """Put the previous image of a bundle in front again.

    It is the newest released before the current one whose versions are all still approved. Routes stay as they are.
    """
    bundle = bundles.get(call.session, f"{team}/{name}", actor=call.actor)
    builds.roll_back(call.session, bundle, actor=call.actor, seen=body.current)
    return _answer(call, bundle.full_name)


def _answer(call: Call, full_name: str, *, status: int = 200, location: str | None = None) -> Answer:
    call.session.flush()
    bundle = bundles.get(call.session, full_name, actor=call.actor)
    return Answer(BundleDocument.of(bundle), status, revision=bundle.revision, location=location)
