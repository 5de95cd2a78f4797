"""submit, withdraw, wait, reviews, alias."""

import webbrowser

import click

from countersign.cli.common import App, Listing, Waiting, confirm, note_option, wait_option, with_app, yes_option
from countersign.models import Review
from countersign.output import column


@click.command("submit", cls=Waiting)
@click.argument("ref")
@note_option
@click.option(
    "--use",
    "uses",
    multiple=True,
    help="A use to approve it for; repeatable. By default the card's uses, or its purpose.",
)
@click.option("--environment", "environments", multiple=True, default=("production",), show_default=True)
@click.option(
    "--prohibited-use", "prohibited_uses", multiple=True, help="A use to rule out; repeatable. By default the card's."
)
@click.option("--limit", "limits", multiple=True, help="A limit of the approval; repeatable.")
@wait_option
@with_app
def submit_command(
    app: App,
    *,
    ref: str,
    note: str,
    uses: tuple[str, ...],
    environments: tuple[str, ...],
    prohibited_uses: tuple[str, ...],
    limits: tuple[str, ...],
    wait: str | None,
) -> None:
    """Ask for approval of the version REF. It freezes; people decide in the portal."""
    review = app.client.submit(
        ref, note, uses=uses, environments=environments, prohibited_uses=prohibited_uses, limits=limits
    )
    app.out.note(f"asked for approval of {review.ref or ref}")
    for notice in review.notices:
        if notice.must_answer:
            app.out.note(f"next: countersign reviews answer {review.id} {notice.code} -m TEXT")
    if wait:
        app.wait_version(ref, "approved", wait)
        review = app.client.review(review.id)
    app.out.item(review.to_dict(), review_fields(review), name="id")


@click.command("withdraw")
@click.argument("ref")
@click.option("-m", "--reason", required=True, help="Why.")
@yes_option
@with_app
def withdraw_command(app: App, *, ref: str, reason: str, yes: bool) -> None:
    """Take the request for approval of REF back. Decisions already made on it are void."""
    confirm(f"Withdraw the request for {ref}? Decisions already made on it become void.", yes=yes)
    app.client.withdraw(ref, reason)
    app.out.note(f"the request for {ref} is withdrawn")


@click.command("wait")
@click.argument("ref")
@click.option("--until", type=click.Choice(("ready", "approved")), default="ready", show_default=True)
@click.option("--timeout", default="10m", show_default=True, help="Wait for so long at most, as in 90s, 10m, 2h.")
@with_app
def wait_command(app: App, *, ref: str, until: str, timeout: str) -> None:
    """Wait until the version REF is ready (its checks passed) or approved.

    Exit 8 when it is still pending at the end, 9 when it cannot get there any more.
    """
    version = app.wait_version(ref, until, timeout)
    fields = [("Ref", version.ref), ("Stage", version.stage), ("Status", version.status), ("Page", version.url)]
    app.out.item(version.to_dict(), fields, name="ref")


@click.group("reviews", cls=Listing)
def reviews_command() -> None:
    """List and show requests for approval. Deciding takes a person in the portal: no token can."""


@reviews_command.command("list")
@click.option("--state", type=click.Choice(("open", "done")), default="open", show_default=True)
@with_app
def list_reviews(app: App, *, state: str) -> None:
    """List requests."""
    columns = [
        column("Id"),
        column("Ref"),
        column("State"),
        column("Requested by", "requested_by"),
        column("Requested", "requested_at"),
        column("Note"),
    ]
    empty = "Nothing waits for a decision." if state == "open" else "Nothing has been decided yet."
    app.out.items((review.to_dict() for review in app.client.reviews(state)), columns, name="id", empty=empty)


@reviews_command.command("show")
@click.argument("review_id")
@click.option("--open", "open_page", is_flag=True, help="Open its page in the browser.")
@with_app
def show_review(app: App, *, review_id: str, open_page: bool) -> None:
    """Show a request: its gates, and who decided what."""
    review = app.client.review(review_id)
    app.out.item(review.to_dict(), review_fields(review), name="id")
    if open_page and review.url:
        webbrowser.open(review.url)


@reviews_command.command("comment")
@click.argument("review_id")
@click.option("-m", "--text", required=True, help="What to say.")
@with_app
def comment(app: App, *, review_id: str, text: str) -> None:
    """Add a comment to a request."""
    app.client.comment(review_id, text)
    app.out.note("the comment is added")


@reviews_command.command("answer")
@click.argument("review_id")
@click.argument("notice")
@click.option("-m", "--text", required=True, help="Why it is there, on what ground, and who agreed.")
@with_app
def answer(app: App, *, review_id: str, notice: str, text: str) -> None:
    """Answer what the checks noticed: NOTICE is its code, such as personal-data or training-rows."""
    app.client.answer(review_id, notice, text)
    app.out.note(f"the answer about {notice} is part of the dossier")


def review_fields(review: Review) -> list[tuple[str, object]]:
    gates = [f"{gate.state}: {gate.title or gate.code}{f' ({gate.why})' if gate.why else ''}" for gate in review.gates]
    return [
        ("Id", review.id),
        ("Version", review.ref),
        ("State", review.state),
        ("Note", review.note),
        ("Requested by", review.requested_by),
        ("Gates", "\n".join(gates)),
        ("Notices", "\n".join(f"{item.code}: {item.message}" for item in review.notices if item.must_answer)),
        ("Decisions", len(review.decisions) or None),
        ("Release", review.release_digest),
        ("Dossier", review.dossier_digest),
        ("Decide at", review.url),
    ]


@click.group("alias")
def alias_command() -> None:
    """Move names like `champion` between versions."""


@alias_command.command("set")
@click.argument("ref")
@click.argument("alias")
@with_app
def set_alias(app: App, *, ref: str, alias: str) -> None:
    """Point ALIAS at the version REF."""
    version = app.client.set_alias(ref, alias)
    app.out.note(f"{version.model}:{alias} is now {version.ref}")


@alias_command.command("rm")
@click.argument("model", metavar="TEAM/MODEL")
@click.argument("alias")
@yes_option
@with_app
def remove_alias(app: App, *, model: str, alias: str, yes: bool) -> None:
    """Remove ALIAS from a model."""
    confirm(f"Remove {model}:{alias}? Whoever asks for it gets nothing.", yes=yes)
    app.client.remove_alias(model, alias)
    app.out.note(f"{model}:{alias} is gone")
