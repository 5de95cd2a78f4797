"""Known vulnerabilities: bringing a bundle of them, and what they are about. Waiving one is for signed-in people."""

from portal import db
from portal.api import receiving
from portal.api.answers import Answer
from portal.api.calls import Call
from portal.api.contract import operation
from portal.api.documents.advisories import (
    AdvisoryBundleDocument,
    AdvisoryBundlePage,
    AdvisoryDocument,
    AdvisoryPage,
    advisory_document,
    advisory_summary,
)
from portal.api.documents.base import Listing
from registry import advisories, importing, paging, recall
from registry.access import Permission
from registry.errors import Blocked, DigestMismatch, Invalid, StorageFull, TooLarge

MOST = paging.Cursor(limit=paging.MAX_LIMIT)


@operation("GET", "/advisories", answers={200: AdvisoryPage})
def list_advisories(call: Call, query: Listing) -> Answer:
    """List known vulnerabilities in the libraries of versions and images."""
    found = recall.listing(call.session, query.place(), actor=call.actor)
    return Answer(AdvisoryPage(items=[advisory_summary(item) for item in found.items], next=found.next))


@operation("GET", "/advisories/<advisory_id>", answers={200: AdvisoryDocument})
def show_advisory(call: Call, advisory_id: str) -> Answer:
    """Show a known vulnerability, and what holds the libraries that it is about."""
    advisory = recall.get(call.session, advisory_id, actor=call.actor)
    (item,) = recall.tell(call.session, [advisory], actor=call.actor)
    versions = recall.versions_of(call.session, advisory, MOST, actor=call.actor).items
    images = recall.images_of(call.session, advisory, MOST, actor=call.actor).items
    return Answer(advisory_document(item, list(versions), list(images)))


@operation("GET", "/advisories/bundles", answers={200: AdvisoryBundlePage})
def list_bundles(call: Call, query: Listing) -> Answer:
    """List the bundles that were sent."""
    found = importing.listing(call.session, query.place(), actor=call.actor)
    current = advisories.in_force(call.session)
    documents = [AdvisoryBundleDocument.of(bundle, current) for bundle in found.items]
    return Answer(AdvisoryBundlePage(items=documents, next=found.next))


@operation(
    "PUT",
    "/advisories/bundles/<digest>",
    answers={202: AdvisoryBundleDocument},
    needs=Permission.IMPORT_ADVISORIES,
    raw="application/octet-stream",
    refuses=(Invalid, DigestMismatch, TooLarge, StorageFull, Blocked),
)
def import_bundle(call: Call, digest: str) -> Answer:
    """Send a bundle of advisories and ask for its import.

    The raw body is `all.zip` of the PyPI ecosystem as osv.dev publishes it, with its Content-Length. A worker reads it
    and puts it into force as a whole, or refuses it and names the faulty records.
    """
    size = receiving.store(
        receiving.checked(digest), limit=importing.MAX_FILE, hint="Send the bundle of the PyPI ecosystem only."
    )
    with db.separate() as unit:
        bundle = importing.request(unit, actor=call.actor, digest=digest, size=size, settings=call.settings)
        document = AdvisoryBundleDocument.of(bundle, advisories.in_force(unit))
    return Answer(document, 202, location=f"/api/v1/advisories/bundles/{digest}", tagged=False)


@operation("GET", "/advisories/bundles/<digest>", answers={200: AdvisoryBundleDocument})
def show_bundle(call: Call, digest: str) -> Answer:
    """Show a bundle: whether it is imported, or why it was refused."""
    bundle = importing.get(call.session, digest, actor=call.actor)
    return Answer(AdvisoryBundleDocument.of(bundle, advisories.in_force(call.session)))
