"""What all verbs share: their common options, the client they talk through, waiting, and asking before harm."""

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from countersign import config, waiting
from countersign.client import Client
from countersign.errors import Unusable
from countersign.models import Build, Version
from countersign.output import Output, size
from countersign.progress import FINAL, STORED, OnProgress, Progress, silent

P = ParamSpec("P")
T = TypeVar("T")
DEFAULT_WAIT = "10m"


class App:
    """One run of the command: settings, output, and the client, made when first needed."""

    def __init__(self, settings: config.Settings, *, quiet: bool, progress: bool) -> None:
        self.settings = settings
        # NO_COLOR: https://no-color.org. Where it is not set, click looks whether the stream is a terminal.
        colour = False if os.environ.get("NO_COLOR") else None
        self.colour = colour
        self.out = Output(settings.get("output") or "table", quiet=quiet, colour=colour)
        self._progress = progress and not quiet

    @functools.cached_property
    def client(self) -> Client:
        client = Client(settings=self.settings, on_note=self.out.note)
        if client.has_token and config.is_readable_on_the_way(client.url):
            self.out.warn(f"{client.url} is not encrypted: others on the network can read your token")
        return client

    @contextmanager
    def progress(self) -> Iterator[OnProgress]:
        """Bars on a terminal, a line per finished file elsewhere, nothing when quiet."""
        if not self._progress:
            yield silent
        elif sys.stderr.isatty() and not os.environ.get("CI"):
            from countersign import terminal  # noqa: PLC0415 - rich costs start-up time and is for terminals only

            with terminal.bars(colour=self.colour) as show:
                yield show
        else:
            yield self._line

    def _line(self, progress: Progress) -> None:
        if progress.state in FINAL:
            state = progress.state if progress.state == STORED else f"{progress.state} {size(progress.total)}"
            self.out.note(f"{progress.path}: {state}")

    def first(self, items: Iterator[T], limit: int) -> Iterator[T]:
        """The first ``limit`` of ``items``; says so when there are more."""
        yield from itertools.islice(items, limit)
        if next(items, None) is not None:
            self.out.note(f"there are more than {limit}: raise --limit to see them")

    def wait_version(self, ref: str, until: str, timeout: str) -> Version:
        """Wait, telling each stage on the way."""
        seconds = waiting.duration(timeout)
        return self.client.wait(ref, until, timeout=seconds, on_change=self._tell_stage)

    def wait_build(self, build: Build, timeout: str) -> Build:
        """Wait, telling each state on the way."""
        seconds = waiting.duration(timeout)
        return self.client.wait_build(build.id, timeout=seconds, on_change=self._tell_state)

    def _tell_stage(self, version: Version) -> None:
        self.out.note(f"{version.ref}: {version.status or version.stage.replace('_', ' ')}")

    def _tell_state(self, build: Build) -> None:
        self.out.note(f"build {build.id}: {build.state}")


class Waiting(click.Command):
    """A command whose `--wait` may stand alone (10 minutes) or carry a duration, as in `--wait=1h`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Click would take the word after a bare --wait as its value.
        return super().parse_args(ctx, [f"--wait={DEFAULT_WAIT}" if arg == "--wait" else arg for arg in args])


class Listing(click.Group):
    """A group whose `list` may be left out: `builds -o json` lists builds."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"-h", "--help"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


wait_option = click.option(
    "--wait", metavar="[=10m]", help="Wait for the outcome, for so long at most; exit 8 if it is still pending then."
)
note_option = click.option("-m", "--note", required=True, help="What reviewers should know.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def with_app(function: Callable[Concatenate[App, P], None]) -> Callable[..., None]:
    """Give a command the options every command has, and an `App` made from them as first argument."""

    @click.option("-o", "--output", type=click.Choice(config.OUTPUTS), help="Form of the output.")
    @click.option("--url", metavar="URL", help="Server to talk to.")
    @click.option("--profile", metavar="NAME", help="Profile of the user's config file.")
    @click.option("-q", "--quiet", is_flag=True, help="No notes, no progress.")
    @click.option("--no-progress", is_flag=True, help="No progress.")
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        options: dict[str, Any] = dict(kwargs)
        flags = {key: options.pop(key) for key in ("output", "url", "profile")}
        quiet, no_progress = options.pop("quiet"), options.pop("no_progress")
        app = App(config.load(flags), quiet=quiet, progress=not no_progress)
        function(app, *args, **options)

    return wrapper


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    :raises Unusable: there is nobody to ask, and ``yes`` was not said.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Unusable(f"{question} Nobody is there to answer", hint="Add --yes.")
    click.confirm(question, abort=True, err=True)


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """`key=value` arguments as a mapping."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Unusable(f"{option} {text!r}", hint=f"Write {option} key=value.")
        found[key] = value
    return found
