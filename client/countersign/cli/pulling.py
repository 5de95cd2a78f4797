"""pull."""

from pathlib import Path

import click

from countersign.cli.common import App, with_app


@click.command("pull")
@click.argument("ref")
@click.option(
    "-d", "--directory", type=click.Path(path_type=Path, file_okay=False), help="By default ./<model>-<number>."
)
@click.option("--allow-unapproved", is_flag=True, help="Also a version that nobody approved.")
@with_app
def pull_command(app: App, *, ref: str, directory: Path | None, allow_unapproved: bool) -> None:
    """Download the version REF and verify every byte; the folder is there whole or not at all.

    REF is team/model (its newest approved version), team/model:3, team/model:champion or team/model@sha256:...
    """
    with app.progress() as on_progress:
        done = app.client.download(ref, directory, allow_unapproved=allow_unapproved, on_progress=on_progress)
    version = done.version
    if not version.is_approved:
        app.out.warn(f"{version.ref} is {version.stage.replace('_', ' ')}, not approved: do not use it in production")
    resolved = f"{ref} is {version.ref}" if ref != version.ref else ref
    app.out.note(f"{resolved}: {'was there already' if done.was_there else 'downloaded'}, every byte verified")
    record = {
        "ref": version.ref,
        "folder": str(done.folder),
        "artifact_digest": version.artifact_digest,
        "release_digest": version.release_digest,
        "stage": version.stage,
        "files": [file.to_dict() for file in version.files],
    }
    fields = [
        ("Ref", version.ref),
        ("Folder", str(done.folder)),
        ("Digest", version.artifact_digest),
        ("Release", version.release_digest),
    ]
    app.out.item(record, fields, name="folder")
