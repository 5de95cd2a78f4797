"""bundle, builds, logs."""

import sys
from pathlib import Path
from typing import Any

import click
import yaml

from countersign import waiting
from countersign.cli.common import App, Listing, Waiting, wait_option, with_app
from countersign.collecting import read_text
from countersign.errors import Unusable
from countersign.formats import deployment
from countersign.models import Build, Bundle
from countersign.output import column, plain


@click.group("bundle", cls=Listing)
def bundle_command() -> None:
    """List, show, change and bake bundles: sets of routes that go into one image."""


@bundle_command.command("list")
@with_app
def list_bundles(app: App) -> None:
    """List bundles."""
    app.out.items(
        (bundle.to_dict() for bundle in app.client.bundles()),
        [column("Name"), column("Rebuild"), column("Image", "image_digest"), column("Page", "url")],
        name="name",
        empty="No bundles. Every registered model gets one of its own.",
    )


@bundle_command.command("show")
@click.argument("name", metavar="TEAM/BUNDLE")
@with_app
def show_bundle(app: App, *, name: str) -> None:
    """Show the routes of a bundle."""
    _show(app, app.client.bundle(name))


@bundle_command.command("set")
@click.argument("name", metavar="TEAM/BUNDLE")
@click.option(
    "-f", "--file", required=True, type=click.Path(path_type=Path), help="JSON or YAML; `-` is standard input."
)
@with_app
def set_bundle(app: App, *, name: str, file: Path) -> None:
    """Create a bundle, or replace its routes.

    The file holds `routes`, each with a `name` and `members`: {version: team/model:1, weight: 90} pins a version,
    {model: team/model, follow: approved, weight: 100} follows one. With `role: shadow` a member is asked a copy of so many per
    cent of the requests, and nobody gets its answers. `bounds: [0, 20]` says how far a weight may be moved without a bake.
    `rebuild` is auto or propose.
    """
    _show(app, app.client.set_bundle(name, read_bundle(file)))


@bundle_command.command("bake", cls=Waiting)
@click.argument("name", metavar="TEAM/BUNDLE")
@wait_option
@with_app
def bake(app: App, *, name: str, wait: str | None) -> None:
    """Ask for an image of a bundle as it is now. Bundles bake by themselves after an approval, too."""
    build = app.client.bake(name)
    app.out.note(f"build {build.id} is {build.state}")
    if wait:
        build = app.wait_build(build, wait)
    show_one(app, build)


@click.command("manifest")
@click.argument("name", metavar="TEAM/BUNDLE")
@click.option("--image", "repository", required=True, help="Where you pushed it, without a tag: registry/team/bundle.")
@click.option("--compose", is_flag=True, help="A compose file instead of Kubernetes objects.")
@click.option("--admission", is_flag=True, help="The policy that lets only listed digests run, with this one listed.")
@with_app
def manifest_command(app: App, *, name: str, repository: str, compose: bool, admission: bool) -> None:
    """Print what runs the current image of a bundle: by digest, hardened, with the key that must have sealed it.

    Deployment, Service, PodDisruptionBudget, HorizontalPodAutoscaler and NetworkPolicy for Kubernetes 1.30 or newer. The
    pods wait for the ConfigMap countersign-revocations, with the signed list revocations.json; a compose file looks for it
    in the folder countersign beside it.
    """
    image = app.client.current_image(name)
    if image.isolation != "container":
        raise Unusable(f"{image.digest} was built for a host and runs as a process", hint="Bake it on a base image.")
    running = deployment.Running(name.rpartition("/")[2], repository, image.digest, image.key_fingerprint)
    if compose:
        documents = [deployment.compose(running)]
    else:
        documents = deployment.admission([image.digest]) if admission else deployment.kubernetes(running)
    app.out.text(yaml.safe_dump_all(documents, sort_keys=False, width=1000))


@click.command("rollback")
@click.argument("name", metavar="TEAM/BUNDLE")
@with_app
def rollback_command(app: App, *, name: str) -> None:
    """Put the previous image of a bundle in front again.

    It is the newest before the current one whose versions are all still approved. Routes stay as they are, so the next
    bake goes forward again.
    """
    _show(app, app.client.roll_back(name))


@click.group("builds", cls=Listing)
def builds_command() -> None:
    """List, show and retry builds."""


@builds_command.command("list")
@click.option("--bundle", metavar="TEAM/BUNDLE", help="Only builds of this bundle.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many at most.")
@with_app
def list_builds(app: App, *, bundle: str | None, limit: int) -> None:
    """List builds, newest first."""
    found = app.first(app.client.builds(bundle), limit)
    columns = [
        column("Id"),
        column("Bundle"),
        column("State"),
        column("Image", "image_digest"),
        column("Created", "created_at"),
    ]
    app.out.items(
        (build.to_dict() for build in found),
        columns,
        name="id",
        empty="No builds. `countersign bundle bake TEAM/BUNDLE` asks for one.",
    )


@builds_command.command("show")
@click.argument("build_id")
@with_app
def show_build(app: App, *, build_id: str) -> None:
    """Show a build."""
    show_one(app, app.client.build(build_id))


@builds_command.command("retry", cls=Waiting)
@click.argument("build_id")
@wait_option
@with_app
def retry_build(app: App, *, build_id: str, wait: str | None) -> None:
    """Queue a failed build again."""
    build = app.client.retry_build(build_id)
    if wait:
        build = app.wait_build(build, wait)
    show_one(app, build)


@click.command("logs")
@click.argument("build_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the build has ended; exit 9 if it failed.")
@with_app
def logs_command(app: App, *, build_id: str, follow: bool) -> None:
    """Print the log of a build."""
    on_terminal = sys.stdout.isatty()
    for piece in app.client.build_log(build_id, follow=follow):
        # Bytes as they come: a piece may end inside a character, and a file should get what the log holds.
        sys.stdout.buffer.write(plain(piece.decode(errors="replace")).encode() if on_terminal else piece)
        sys.stdout.flush()
    if follow:
        from countersign.waiting import check_build  # noqa: PLC0415

        check_build(app.client.build(build_id))


@click.command("rebuild", cls=Waiting)
@click.argument("image", metavar="IMAGE")
@wait_option
@with_app
def rebuild_command(app: App, *, image: str, wait: str | None) -> None:
    """Have an image baked anew from what was recorded, and compare.

    IMAGE is a digest, sha256:..., or TEAM/BUNDLE for its current image. With --wait the command exits 10 when another
    image came out, and says which layer differs first.
    """
    rebuild = app.client.rebuild(image)
    app.out.note(f"rebuild {rebuild.id} of {rebuild.image_digest} is {rebuild.state}")
    if wait:
        rebuild = app.client.wait_rebuild(rebuild, timeout=waiting.duration(wait))
    fields = [
        ("Id", rebuild.id),
        ("Image", rebuild.image_digest),
        ("State", rebuild.state),
        ("Found", rebuild.found_digest),
        ("Page", rebuild.url),
    ]
    app.out.item(rebuild.to_dict(), fields, name="id")


def read_bundle(file: Path) -> dict[str, Any]:
    """The content of a bundle file; JSON is YAML, too.

    :raises Unusable: not YAML, or without routes.
    """
    text = sys.stdin.read() if str(file) == "-" else read_text(file)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Unusable(f"{file} is not YAML: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("routes"), list):
        raise Unusable(f"{file} holds no routes", hint="See `countersign bundle set --help`.")
    unknown = sorted(content.keys() - {"routes", "rebuild"})
    if unknown:
        raise Unusable(f"{file}: unknown keys {', '.join(unknown)}", hint="A bundle holds `routes` and `rebuild`.")
    return content


def show_one(app: App, build: Build) -> None:
    fields = [
        ("Id", build.id),
        ("Bundle", build.bundle),
        ("State", build.state),
        ("Reason", build.reason),
        ("Image", build.image_digest),
        ("Isolation", build.isolation),
        ("Error", build.error and build.error.get("message")),
        ("Page", build.url),
    ]
    app.out.item(build.to_dict(), fields, name="id")


def _show(app: App, bundle: Bundle) -> None:
    lines = [
        f"{route.get('name')}: {', '.join(_member(member) for member in route.get('members') or ())}"
        for route in bundle.routes
    ]
    fields = [
        ("Name", bundle.name),
        ("Rebuild", bundle.rebuild),
        ("Routes", "\n".join(lines)),
        ("Image", bundle.image_digest),
        ("Page", bundle.url),
    ]
    app.out.item(bundle.to_dict(), fields, name="name")


def _member(member: dict[str, Any]) -> str:
    what = member.get("version") or f"{member.get('model')} ({member.get('follow')})"
    return f"{what} {member.get('weight')} %{' in the shadow' if member.get('role') == 'shadow' else ''}"
