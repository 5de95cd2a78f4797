"""advisories."""

from pathlib import Path

import click

from countersign import waiting
from countersign.cli.common import App, Listing, Waiting, wait_option, with_app
from countersign.output import column


@click.group("advisories", cls=Listing)
def advisories_command() -> None:
    """Import known vulnerabilities, and list what they are about. Waiving one takes a person in the portal."""


@advisories_command.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many at most.")
@with_app
def list_advisories(app: App, *, limit: int) -> None:
    """List known vulnerabilities in what versions and images hold, worst first."""
    columns = [
        column("Id"),
        column("Severity"),
        column("Packages"),
        column("Versions"),
        column("Images"),
        column("Blocks"),
        column("Summary"),
    ]
    found = app.first(app.client.advisories(), limit)
    app.out.items(
        (item.to_dict() for item in found), columns, name="id", empty="Nothing is known of what is held here."
    )


@advisories_command.command("show")
@click.argument("advisory_id", metavar="ID")
@with_app
def show_advisory(app: App, *, advisory_id: str) -> None:
    """Show a known vulnerability, and which versions and images hold a library it is about."""
    found = app.client.advisory(advisory_id)
    waiver = found.waiver or {}
    images = [
        f"{image.get('digest')} {image.get('bundle')}{' (current)' if image.get('current') else ''}"
        for image in found.in_images
    ]
    fields = [
        ("Id", found.id),
        ("Summary", found.summary),
        ("Severity", found.severity),
        ("Packages", ", ".join(found.packages)),
        ("Waived", waiver and f"until {waiver.get('expires_at')}, {waiver.get('owner')} answers for it"),
        ("Versions", "\n".join(str(version.get("ref")) for version in found.in_versions)),
        ("Images", "\n".join(images)),
        ("Page", found.url),
    ]
    app.out.item(found.to_dict(), fields, name="id")


@advisories_command.command("import", cls=Waiting)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@wait_option
@with_app
def import_command(app: App, *, file: Path, wait: str | None) -> None:
    """Send FILE, a bundle of known vulnerabilities: all.zip of the PyPI ecosystem as osv.dev publishes it.

    A worker compares every version and every image with it. With --wait the command exits 9 when the bundle was
    refused, and names the records that could not be understood. The token needs the scope `advisories`.
    """
    with app.progress() as on_progress:
        bundle = app.client.import_advisories(file, on_progress=on_progress)
    app.out.note(f"bundle {bundle.digest} is {bundle.state}")
    if wait:
        bundle = app.client.wait_advisories(bundle, timeout=waiting.duration(wait))
    fields = [
        ("Digest", bundle.digest),
        ("State", bundle.state),
        ("Advisories", bundle.records),
        ("Newest record", bundle.newest_at),
        ("Stale from", bundle.stale_at),
        ("Page", bundle.url),
    ]
    app.out.item(bundle.to_dict(), fields, name="digest")
