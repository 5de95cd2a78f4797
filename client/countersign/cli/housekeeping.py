"""config, doctor, completion."""

from pathlib import Path

import click
from click.shell_completion import get_completion_class

from countersign import config
from countersign.cli.common import App, with_app
from countersign.errors import CountersignError, Unusable
from countersign.output import column


@click.group("config")
def config_command() -> None:
    """Show settings and where they come from, or set one."""


@config_command.command("show")
@click.option("--origin", is_flag=True, help="Also what decided each.")
@with_app
def show_config(app: App, *, origin: bool) -> None:
    """Show the settings in force. The token itself is never shown."""
    settings = app.settings
    items = [{"key": key, "value": found.value, "origin": found.origin} for key, found in settings.values.items()]
    items.append({"key": "token", "value": "set" if settings.token else None, "origin": settings.token_origin})
    items.append({"key": "config", "value": str(settings.user_file), "origin": "user file"})
    columns = [column("Key"), column("Value"), *([column("Origin")] if origin else [])]
    app.out.items(items, columns, name="key", empty="")


@config_command.command("set")
@click.argument("key", type=click.Choice(sorted({*config.USER_KEYS, *config.PROJECT_KEYS})))
@click.argument("value")
@click.option("--project", is_flag=True, help="In countersign.toml of this project instead of the user's file.")
@with_app
def set_config(app: App, *, key: str, value: str, project: bool) -> None:
    """Set KEY to VALUE: url, profile, output, timeout or cache_dir of the user; name, url or output of the project."""
    if key not in (config.PROJECT_KEYS if project else config.USER_KEYS):
        where, other = ("the project", "user") if project else ("the user", "project")
        raise Unusable(f"{key} is not a setting of {where}", hint=f"It belongs to the {other}.")
    if key == "url":
        value = config.check_url(value)
    if key == "output" and value not in config.OUTPUTS:
        raise Unusable(f"an output of {value!r}", hint=f"Use one of {', '.join(config.OUTPUTS)}.")
    path = (app.settings.project_file or Path(config.PROJECT_FILE)) if project else app.settings.user_file
    if key == "url" and not project:
        config.store_url(path, app.settings.profile, value)
    else:
        config.write_toml(path, {**config.read_toml(path), key: value}, private=not project)
    app.out.note(f"{key} is {value} in {path}")


@click.command("doctor")
@with_app
def doctor_command(app: App) -> None:
    """Look at settings, connection, token, clock and this Python; exit with the code of the first thing that is wrong."""
    from countersign import diagnosis  # noqa: PLC0415 - only this verb needs it

    results = list(diagnosis.examine(app.settings))
    app.out.items(
        (
            {"level": result.level, "what": result.what, "found": result.found, "hint": result.hint}
            for result in results
        ),
        [column("Level"), column("What"), column("Found"), column("What to do", "hint")],
        name="what",
        empty="",
    )
    wrong = next((result.error for result in results if result.error is not None), None)
    if wrong is not None:
        raise CountersignError("something is wrong with the set-up", hint=wrong.hint) if wrong.exit_code == 1 else wrong


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion_command(shell: str) -> None:
    """Print a completion script: `countersign completion bash >> ~/.bashrc`."""
    from countersign.cli import main  # noqa: PLC0415 - it imports this module

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "countersign", "_COUNTERSIGN_COMPLETE").source())
