"""platform."""

import click

from countersign.cli.common import App, Listing, with_app
from countersign.output import column
from countersign.platforms import PlatformChange

OUTCOMES = ("waiting", "queued", "equal", "not_equal", "failed", "overtaken")


@click.group("platform", cls=Listing)
def platform_command() -> None:
    """Propose changes of what images stand on, and follow their waves. Signing one takes a person in the portal."""


@platform_command.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many at most.")
@with_app
def list_changes(app: App, *, limit: int) -> None:
    """List platform changes, newest first."""
    columns = [
        column("Id"),
        column("State"),
        column("Platform"),
        column("Images"),
        column("Outcomes"),
        column("Proposed by", "proposed_by"),
        column("Reason"),
    ]
    found = app.first(app.client.platform.changes(), limit)
    app.out.items((item.to_dict() for item in found), columns, name="id", empty="No platform change was ever proposed.")


@platform_command.command("offers")
@with_app
def list_platforms(app: App) -> None:
    """List what workers can bake on, and what is in force. A worker offers its own with `python -m builders offer`."""
    columns = [
        column("Digest"),
        column("In force", "in_force"),
        column("Base"),
        column("Offered by", "offered_by"),
        column("Offered at", "offered_at"),
    ]
    found = app.client.platform.list()
    app.out.items((item.to_dict() for item in found), columns, name="digest", empty="Nothing was baked yet.")


@platform_command.command("show")
@click.argument("change_id", metavar="ID")
@with_app
def show_change(app: App, *, change_id: str) -> None:
    """Show a platform change: what differs, who signed, how its wave stands."""
    _show(app, app.client.platform.change(change_id))


@platform_command.command("images")
@click.argument("change_id", metavar="ID")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only images that stand so.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many at most.")
@with_app
def list_images(app: App, *, change_id: str, outcome: str | None, limit: int) -> None:
    """List the images of a platform change, and what came of each."""
    columns = [
        column("Bundle"),
        column("Image", "image_digest"),
        column("Outcome"),
        column("New image", "new_image_digest"),
        column("Summary"),
    ]
    found = app.first(app.client.platform.images(change_id, outcome), limit)
    app.out.items((item.to_dict() for item in found), columns, name="image_digest", empty="No such image.")


@platform_command.command("propose")
@click.argument("digest", metavar="PLATFORM")
@click.option("-m", "--reason", required=True, help="What the two people who sign should know.")
@with_app
def propose(app: App, *, digest: str, reason: str) -> None:
    """Propose PLATFORM, the digest of one that a worker offered, for all images in front that do not stand on it.

    The list of images is fixed now. Two other people sign it in the portal; then the wave begins. The token needs the
    scope `platform`.
    """
    _show(app, app.client.platform.propose(digest, reason))


@platform_command.command("withdraw")
@click.argument("change_id", metavar="ID")
@with_app
def withdraw(app: App, *, change_id: str) -> None:
    """Take a proposal back before it is decided."""
    _show(app, app.client.platform.withdraw(change_id))


@platform_command.command("pause")
@click.argument("change_id", metavar="ID")
@with_app
def pause(app: App, *, change_id: str) -> None:
    """Hold a wave: what is being baked ends, nothing more begins."""
    _show(app, app.client.platform.pause(change_id))


@platform_command.command("resume")
@click.argument("change_id", metavar="ID")
@with_app
def resume(app: App, *, change_id: str) -> None:
    """Let a paused wave go on."""
    _show(app, app.client.platform.resume(change_id))


@platform_command.command("retry")
@click.argument("change_id", metavar="ID")
@click.argument("image", metavar="IMAGE")
@with_app
def retry(app: App, *, change_id: str, image: str) -> None:
    """Have IMAGE, a digest of the list, tried again that was left behind."""
    move = app.client.platform.retry(change_id, image)
    fields = [("Bundle", move.bundle), ("Image", move.image_digest), ("Outcome", move.outcome)]
    app.out.item(move.to_dict(), fields, name="image_digest")


def _show(app: App, change: PlatformChange) -> None:
    differing = [
        f"{found.get('name')}: {found.get('before') or 'not there'} -> {found.get('after') or 'not there'}"
        for found in change.differences
        if found.get("part") != "code"
    ]
    code = sum(found.get("part") == "code" for found in change.differences)
    fields = [
        ("Id", change.id),
        ("State", change.state),
        ("Reason", change.reason),
        ("Platform", change.platform),
        ("Replaces", change.replaces),
        ("Changes", "\n".join([*differing, *([f"{code} modules of the serving code"] if code else [])])),
        ("Images", change.images),
        ("Outcomes", change.outcomes),
        ("Signed by", ", ".join(f"{item.get('person')} ({item.get('outcome')})" for item in change.decisions)),
        ("Waits for", "\n".join(str(gate.get("why")) for gate in change.gates if gate.get("state") != "ok")),
        ("Page", change.url),
    ]
    app.out.item(change.to_dict(), fields, name="id")
