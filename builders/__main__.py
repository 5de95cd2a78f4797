"""The worker's command: ``python -m builders`` works through the queue; ``run BUNDLE`` runs a bundle's current image.

``rebuild SEALED`` bakes the image of a sealed manifest from what the store holds, and needs no database. Each command
imports what it needs when it runs: what bakes takes a second to import, and an image to be served waits for that.
"""

import json
import logging
import os
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from builders import platform
from builders.containers import EngineError
from builders.jobs import JobFailed
from builders.platform import Platform
from builders.smoke import NotReady
from builders.tarball import LayerError
from formats.seals import BadSeal
from registry import revisions
from registry.db import Database
from registry.errors import RegistryError
from registry.settings import Settings, SettingsError
from registry.store import LocalStore

logger = logging.getLogger("builders")


def main(argv: list[str]) -> int:
    parser = ArgumentParser(prog="python -m builders")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("work", help="work through the queue (the default)")
    runner = commands.add_parser("run", help="run the current image of a bundle until stopped")
    runner.add_argument("bundle", help="team/bundle")
    runner.add_argument("--summary", type=Path, help="also write the addresses to this file")
    archiver = commands.add_parser("archive", help="write a released image as an OCI archive")
    archiver.add_argument("digest", help="sha256:..., as on the image's page")
    archiver.add_argument("file", type=Path)
    freer = commands.add_parser("free", help="free the layers of images that are no bundle's current one")
    freer.add_argument("--days", type=int, required=True, help="only of images older than this many days")
    rebuilder = commands.add_parser("rebuild", help="bake an image anew from its sealed manifest; print its digest")
    rebuilder.add_argument("sealed", type=Path, help="the sealed manifest, as downloaded from the image's page")
    commands.add_parser(
        "offer", help="offer this worker's base, runtime and code for a platform change; print the digest"
    )
    revoker = commands.add_parser(
        "revocations", help="write the signed list of what must not run, for servers to mount"
    )
    revoker.add_argument("file", type=Path, help="what it lists already stays listed")
    revoker.add_argument("--image", action="append", default=[], metavar="DIGEST", help="list this image, too")
    arguments = parser.parse_args(argv)
    try:
        settings = Settings.load()
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
        if arguments.command == "rebuild":
            _rebuild(arguments.sealed, platform.detect(settings, LocalStore(settings.store_dir.absolute())))
            return 0
        database = Database(settings.url)
        if not revisions.is_current(database):
            raise SettingsError("the database is not at the newest revision; run: flask --app wsgi registry db upgrade")
        found = platform.detect(settings, LocalStore(settings.store_dir.absolute()))
        COMMANDS[arguments.command or "work"](settings, database, found, arguments)
    except (
        SettingsError,
        platform.NotReady,
        EngineError,
        RegistryError,
        NotReady,
        JobFailed,
        BadSeal,
        LayerError,
    ) as error:
        hint = getattr(error, "hint", "")
        print(f"{error} {hint}".rstrip(), file=sys.stderr)
        return 1
    return 0


def _rebuild(sealed: Path, found: Platform) -> None:
    from builders import rebuild

    print(json.dumps(rebuild.command(sealed, found), indent=1))


def _work(settings: Settings, database: Database, found: Platform, _: Namespace) -> None:
    from builders.worker import Worker

    logger.info("isolation: %s, Python %s. %s", found.isolation, found.base.target.python, found.note)
    logger.info("release key: %s", found.release_key.fingerprint)
    Worker(settings, database, found.store, found).run()


def _run(_: Settings, database: Database, found: Platform, arguments: Namespace) -> None:
    from builders import run

    run.run(database, found, arguments.bundle, arguments.summary)


def _archive(_: Settings, database: Database, found: Platform, arguments: Namespace) -> None:
    from builders import run

    run.archive(database, found, arguments.digest, arguments.file)


def _free(_: Settings, database: Database, found: Platform, arguments: Namespace) -> None:
    from builders import retention

    freed = retention.free(database, found, days=arguments.days)
    print(f"{freed.images} images, {freed.size / 1e6:.1f} MB freed")


def _offer(_: Settings, database: Database, found: Platform, __: Namespace) -> None:
    from builders import pinning

    print(pinning.offer(database, found, f"{socket.gethostname()}-{os.getpid()}"))


def _revocations(_: Settings, database: Database, found: Platform, arguments: Namespace) -> None:
    from builders import revoking

    listed = revoking.write(database, found.release_key, arguments.file, arguments.image)
    print(f"{arguments.file}: {len(listed.revoked)} revoked, issued at {listed.issued_at}")


COMMANDS: dict[str, Callable[[Settings, Database, Platform, Namespace], None]] = {
    "work": _work,
    "run": _run,
    "archive": _archive,
    "free": _free,
    "offer": _offer,
    "revocations": _revocations,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
