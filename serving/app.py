"""The commands of an image: serve (the default), score, smoke, verify."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from serving import helper, sealed, shadow_process
from serving.errors import Refusal
from serving.logs import Log
from serving.settings import Settings, from_environment

COMMANDS = ("serve", "score", "smoke", "verify")
# In an image this file is <root>/opt/countersign/app/serving/app.py.
ROOT = Path(__file__).resolve().parent.joinpath("../../../..").resolve()


def main(argv: Sequence[str]) -> int:
    """Run one command: 0 when all is well, 1 with one line on standard error when it is not."""
    if argv and argv[0] == helper.COMMAND:  # how a server starts its own; no command for people
        return helper.main(*map(int, argv[1:]))
    if argv and argv[0] == shadow_process.COMMAND:
        return shadow_process.main(argv[1], int(argv[2]))
    arguments = _arguments(argv)
    # gRPC prepares for children that go on using it; ours execute another program at once.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        settings = from_environment(os.environ)
        image = sealed.verify(arguments.root.resolve(), settings.key_fingerprint)
        if arguments.command == "serve":
            return _serve(image, settings, arguments)
        if arguments.command == "score":
            return _score(image, settings, arguments)
        return _smoke(image, settings, arguments) if arguments.command == "smoke" else _verify(image)
    except Refusal as refusal:
        return _refuse(refusal)
    except ExceptionGroup as group:  # of the models that were started together; one line is enough to act on
        refusals, others = group.split(Refusal)
        if others is not None or refusals is None:
            raise
        return _refuse(_first(refusals))


def _serve(image: sealed.Sealed, settings: Settings, arguments: argparse.Namespace) -> int:
    # Only this command needs an event loop, gRPC and metrics; the others start in a fraction of the time without.
    import uvloop  # noqa: PLC0415

    from serving.server import Address, run  # noqa: PLC0415

    log = Log(settings.log_level)
    log.info(
        "origin checked" if image.origin_checked else "origin not checked",
        bundle=image.manifest.bundle,
        key=image.fingerprint,
        **({} if image.origin_checked else {"hint": "set COUNTERSIGN_KEY_FINGERPRINT to the key you expect"}),
    )
    log.info("verified", files=image.files, bytes=image.size)
    address = Address(arguments.host, arguments.rest_port, arguments.grpc_port, arguments.port_file)
    uvloop.run(run(image, settings, address, log))
    return 0


def _score(image: sealed.Sealed, settings: Settings, arguments: argparse.Namespace) -> int:
    from serving.score import Job, score  # noqa: PLC0415  # see _serve

    job = Job(
        source=arguments.source,
        target=arguments.target,
        route=arguments.route,
        version=arguments.version,
        outputs=tuple(filter(None, arguments.outputs.split(","))),
        keep=tuple(filter(None, arguments.keep.split(","))),
    )
    _print(score(image, settings, job))
    return 0


def _smoke(image: sealed.Sealed, settings: Settings, arguments: argparse.Namespace) -> int:
    from serving.smoke import read_rows, smoke  # noqa: PLC0415  # see _serve

    given = read_rows(sys.stdin.read()) if arguments.rows == "-" else {}
    report = smoke(image, settings, arguments.rest, given)
    _print(report)
    return 0 if report["ok"] else 1


def _verify(image: sealed.Sealed) -> int:
    _print(
        {
            "ok": True,
            "bundle": image.manifest.bundle,
            "key": image.fingerprint,
            "origin": "checked" if image.origin_checked else "not checked",
            "files": image.files,
            "bytes": image.size,
        }
    )
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="start.py", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=ROOT, help="folder the image is unpacked in (default: this one)")
    serve = commands.add_parser("serve", parents=[common], help="answer the Open Inference Protocol")
    serve.add_argument("--host", default="0.0.0.0")  # noqa: S104  # a container's address is not known to it
    serve.add_argument("--rest-port", type=int, default=8080, help="0: any free one")
    serve.add_argument("--grpc-port", type=int, default=8081, help="0: any free one")
    serve.add_argument("--port-file", type=Path, help="write the ports here, as JSON, once they are open")
    score = commands.add_parser("score", parents=[common], help="answer a table: CSV, Parquet or Arrow, by its name")
    score.add_argument("source", type=Path, metavar="IN")
    score.add_argument("target", type=Path, metavar="OUT")
    score.add_argument("--route", help="needed where the image has several")
    score.add_argument("--version", help="needed where the route is split")
    score.add_argument("--outputs", default="predict", help="names, separated by commas (default: predict)")
    score.add_argument("--keep", default="", help="columns of IN that are for OUT and not for the model, such as a key")
    smoke = commands.add_parser("smoke", parents=[common], help="compare a running server's answers with the approved")
    smoke.add_argument("--rest", default="http://127.0.0.1:8080")
    smoke.add_argument("--rows", choices=["-"], help="-: read rows and answers as JSON from standard input")
    commands.add_parser("verify", parents=[common], help="check the seal and every file, and nothing more")
    named = any(argument in COMMANDS for argument in argv[:1]) or "-h" in argv[:1] or "--help" in argv[:1]
    return parser.parse_args(argv if named else ["serve", *argv])


def _print(report: object) -> None:
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _refuse(refusal: Refusal) -> int:
    sys.stderr.write(f"countersign: refused: {' '.join(str(refusal).split())}\n")
    return refusal.exit_code


def _first(group: BaseExceptionGroup[Refusal]) -> Refusal:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
