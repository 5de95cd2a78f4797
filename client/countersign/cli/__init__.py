"""The `countersign` command. Each verb's module is imported when that verb is used, so that the command starts fast."""

from importlib import import_module
from typing import Any

import click
from click.exceptions import NoSuchCommand

import countersign
from countersign.cli.failing import exit_code_of, tell

# verb -> (module of this package, what it does in a few words)
VERBS: dict[str, tuple[str, str]] = {
    "login": ("account", "Sign in at a server and keep the token."),
    "logout": ("account", "Forget the token of a profile."),
    "whoami": ("account", "Show whom the token speaks for."),
    "token": ("account", "Create, list and revoke API tokens."),
    "init": ("pushing", "Write a card to fill in."),
    "check": ("pushing", "Judge a push here, without sending it."),
    "wheel": ("wheels", "Make a package of the code that a model brings."),
    "push": ("pushing", "Register a version of a model."),
    "pull": ("pulling", "Download an approved version, verified."),
    "list": ("catalogue", "List models, or the versions of one."),
    "search": ("catalogue", "Find models by words."),
    "show": ("catalogue", "Show a version: where it is and what is next."),
    "card": ("catalogue", "Print a version's card."),
    "files": ("catalogue", "List a version's files with their digests."),
    "lineage": ("catalogue", "Show what a version was made from and is used by."),
    "diff": ("catalogue", "Show what changed between two versions."),
    "submit": ("approval", "Ask for approval of a version."),
    "withdraw": ("approval", "Take a request for approval back."),
    "wait": ("approval", "Wait until a version is ready or approved."),
    "reviews": ("approval", "List and show requests for approval."),
    "alias": ("approval", "Move names like `champion` between versions."),
    "bundle": ("baking", "List, show, change and bake bundles."),
    "manifest": ("baking", "Print what runs a bundle's image in Kubernetes, or with compose."),
    "rollback": ("baking", "Return to a bundle's previous image."),
    "experiment": ("trying", "Say what a split is for, and what came of it."),
    "builds": ("baking", "List, show and retry builds."),
    "logs": ("baking", "Print a build's log, or follow it."),
    "rebuild": ("baking", "Have an image baked anew, and compare."),
    "platform": ("platforming", "Propose changes of what images stand on, and follow their waves."),
    "advisories": ("advising", "Import known vulnerabilities, and list what they are about."),
    "config": ("housekeeping", "Show settings and where they come from, or set one."),
    "doctor": ("housekeeping", "Find out what is wrong with the set-up."),
    "completion": ("housekeeping", "Print a completion script for your shell."),
}


class Verbs(click.Group):
    """The verbs of the table above, imported one by one; exceptions become the exit codes of `errors`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module = import_module(f"countersign.cli.{VERBS[cmd_name][0]}")
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise NoSuchCommand(args[0], possibilities=VERBS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            ctx.exit(130)
        except Exception as error:
            code = exit_code_of(error)
            if code is None:
                raise
            tell(error)
            ctx.exit(code)


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(countersign.__version__, prog_name="countersign")
def main() -> None:
    """Register models, ask for their approval, and use what was approved.

    Exit codes: 0 done, 1 other failure, 2 usage, 3 not found, 4 not signed in, 5 not allowed, 6 conflict or stale,
    7 network or server trouble, 8 still pending when --wait ended, 9 checks, review or build said no, 10 verification
    failed, 130 interrupted.
    """
