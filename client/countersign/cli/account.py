"""login, logout, whoami, token."""

import sys

import click

from countersign import config
from countersign.cli.common import App, Listing, confirm, with_app, yes_option
from countersign.client import Client
from countersign.errors import Unusable
from countersign.models import Identity, Token
from countersign.output import column


@click.command("login")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@with_app
def login_command(app: App, *, token_stdin: bool) -> None:
    """Sign in at a server and keep the token in the user's config file (mode 0600).

    Make a token in the portal under Tokens, then: `countersign login --url https://countersign.example.org`. A token is
    never an argument, because arguments are visible to every process on the machine.
    """
    url = app.settings.url
    token = _read_token(url, from_stdin=token_stdin)
    if not token:
        raise Unusable("no token was given", hint="Paste it, or pipe it in with --token-stdin.")
    if config.is_readable_on_the_way(url):
        app.out.warn(f"{url} is not encrypted: others on the network can read your token")
    identity = Client(token=token, settings=app.settings).whoami()
    config.store_profile(app.settings.user_file, app.settings.profile, url, token)
    app.out.note(f"signed in at {url} as {identity.name or identity.actor} (profile {app.settings.profile})")
    if app.settings.token_origin.startswith("environment"):
        app.out.warn("COUNTERSIGN_TOKEN is set and wins over the stored token")


@click.command("logout")
@with_app
def logout_command(app: App) -> None:
    """Forget the token of a profile. It stays valid on the server until it expires or is revoked."""
    profile = app.settings.profile
    stored = config.read_toml(app.settings.user_file).get("profiles", {}).get(profile, {})
    if "token" not in stored:
        app.out.note(f"profile {profile} holds no token")
        return
    config.store_profile(app.settings.user_file, profile, str(stored.get("url", "")), None)
    app.out.note(f"forgot the token of profile {profile}; `countersign token revoke` would have ended it on the server")


@click.command("whoami")
@with_app
def whoami_command(app: App) -> None:
    """Show whom the token speaks for, what it may do, and until when."""
    identity = app.client.whoami()
    app.out.item(identity.to_dict(), identity_fields(identity, app.client.url), name="actor")


def identity_fields(identity: Identity, url: str) -> list[tuple[str, object]]:
    token = identity.token
    return [
        ("Name", identity.name),
        ("Actor", identity.actor),
        ("Server", url),
        ("Teams", identity.teams),
        ("Roles", identity.roles),
        ("Token", token.name if token else None),
        ("Scopes", token.scopes if token else None),
        ("Expires", token.expires_at if token else None),
    ]


@click.group("token", cls=Listing)
def token_command() -> None:
    """Create, list and revoke API tokens."""


@token_command.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, default=("read",), help="read, push, submit, bundles ...; repeatable."
)
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="Valid for so many days.")
@with_app
def create(app: App, *, name: str, scopes: tuple[str, ...], days: int) -> None:
    """Create a token called NAME. It is printed this once, to standard output."""
    token = app.client.create_token(name, scopes, days=days)
    if app.out.style == "table":
        app.out.note(f"token {token.id} for {', '.join(token.scopes)} until {token.expires_at}; it is not shown again:")
        app.out.data(token.token or "")
    else:
        app.out.item(token.to_dict(), [("Id", token.id), ("Token", token.token)], name="token")


@token_command.command("list")
@with_app
def list_tokens(app: App) -> None:
    """List your tokens and those of your teams' service accounts."""
    columns = [
        column("Id"),
        column("Name"),
        column("Scopes"),
        column("Expires", "expires_at"),
        column("Last used", "last_used_at"),
        column("Revoked", "revoked_at"),
    ]
    app.out.items(
        (_without_secret(token) for token in app.client.tokens()),
        columns,
        name="id",
        empty="No tokens. `countersign token create NAME --scope push` makes one.",
    )


@token_command.command("revoke")
@click.argument("token_id")
@yes_option
@with_app
def revoke(app: App, *, token_id: str, yes: bool) -> None:
    """End the token TOKEN_ID now."""
    confirm(f"Revoke token {token_id}? Whatever uses it stops working.", yes=yes)
    app.client.revoke_token(token_id)
    app.out.note(f"token {token_id} is revoked")


def _read_token(url: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().strip()
    if not sys.stdin.isatty():
        raise Unusable("there is no terminal to ask for the token", hint="Pipe it in with --token-stdin.")
    click.echo(f"Make a token at {url}/settings/tokens and paste it here.", err=True)
    pasted: str = click.prompt("Token", hide_input=True, err=True)
    return pasted.strip()


def _without_secret(token: Token) -> dict[str, object]:
    return {key: value for key, value in token.to_dict().items() if key != "token"}
