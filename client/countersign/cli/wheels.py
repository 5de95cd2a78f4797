"""wheel init."""

from pathlib import Path

import click

from countersign import skeleton
from countersign.cli.common import App, with_app


@click.group("wheel")
def wheel_command() -> None:
    """Make a package of the code that a model brings."""


@wheel_command.command("init")
@click.argument("name")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder; by default NAME here.")
@with_app
def init_command(app: App, *, name: str, folder: Path | None) -> None:
    """Write a small package NAME with a transformer, its test and what to do next; nothing that is there is touched."""
    folder = folder or Path(name)
    for path in skeleton.write(name, folder):
        app.out.data(str(path))
    app.out.note(f"next: read {folder / 'README.md'}; it ends with `countersign push --wheel`")
