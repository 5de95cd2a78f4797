"""Send live feedback to a running container and show which team gets each message.

`python feed.py --rest URL --grpc HOST:PORT --route feedback -n 20` asks over REST and gRPC in turn.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from itertools import cycle

from corpus import Message, categories, generate
from inference import Asker, InferenceError, RestAsker
from inference_grpc import GrpcAsker
from routing import UnknownCategoryError, route

HEADINGS = ("Message", "Category", "Team", "Version", "Over", "ms")
WIDTHS = (38, 24, 24, 7, 4, 6)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message, and what became of it. ``meant`` is the category of the grammar that wrote it."""

    message: str
    meant: str
    category: str
    confidence: float
    team: str
    sure: bool
    version: str
    digest: str
    over: str
    milliseconds: float


def feedback(count: int, seed: int) -> list[Message]:
    """``count`` messages of October; the same seed writes the same ones."""
    return generate("october", max(count, len(categories())), seed)[:count]


def send(messages: Sequence[Message], askers: Sequence[Asker]) -> list[Sent]:
    """Ask for every message, the askers taking turns; each message comes from a customer of its own.

    :raises InferenceError, UnknownCategoryError: the first one ends the run.
    """
    sent = []
    for message, asker in zip(messages, cycle(askers), strict=False):
        answer = asker.ask(message.text, routing_key=f"customer-{message.id}")
        where = route(answer.category, answer.confidence)
        sent.append(
            Sent(
                message=message.text,
                meant=message.category,
                category=answer.category,
                confidence=round(answer.confidence, 4),
                team=where.team.name,
                sure=where.sure,
                version=answer.version,
                digest=answer.digest,
                over=asker.name,
                milliseconds=round(answer.milliseconds, 2),
            )
        )
    return sent


def table(sent: Sequence[Sent]) -> str:
    """The answers as lines of fixed columns, and two sentences that sum them up."""
    rows = [
        (
            row.message,
            row.category,
            row.team if row.sure else f"{row.team} (unsure)",
            row.version,
            row.over,
            f"{row.milliseconds:.1f}",
        )
        for row in sent
    ]
    lines = [_line(HEADINGS), _line(["-" * width for width in WIDTHS]), *(_line(row) for row in rows)]
    over, versions = Counter(row.over for row in sent), Counter(row.version for row in sent)
    ways = " and ".join(f"{count} over {name}" for name, count in over.items())
    shares = ", ".join(f"version {_printable(name)} answered {count}" for name, count in sorted(versions.items()))
    right = sum(row.category == row.meant for row in sent)
    lines += [
        "",
        f"{len(sent)} messages, {ways}: {shares}.",
        f"{right} of {len(sent)} were understood as they were meant.",
    ]
    return "\n".join(lines)


def _printable(text: str) -> str:
    """On one line, without the control characters that would move a terminal's cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _line(cells: Sequence[str]) -> str:
    parts = []
    for width, cell in zip(WIDTHS, cells, strict=True):
        clean = _printable(cell)
        cut = clean if len(clean) <= width else f"{clean[: width - 1]}…"
        parts.append(cut.rjust(width) if width == WIDTHS[-1] else cut.ljust(width))
    return "  ".join(parts).rstrip()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Send live feedback to a running container.")
    parser.add_argument("--rest", required=True, metavar="URL", help="of the container's REST port")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="of its gRPC port; without it all goes over REST")
    parser.add_argument("--route", default="feedback", help="the route to ask (default: feedback)")
    parser.add_argument("-n", "--count", type=int, default=20, help="how many messages (default: 20)")
    parser.add_argument("--seed", type=int, default=7, help="other seeds send other messages (default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f"-n is {args.count}; send at least one message")
    try:
        with ExitStack() as stack:
            askers: list[Asker] = [stack.enter_context(RestAsker(args.rest, args.route))]
            if args.grpc:
                askers.append(stack.enter_context(GrpcAsker(args.grpc, args.route)))
            sent = send(feedback(args.count, args.seed), askers)
    except (InferenceError, UnknownCategoryError) as error:
        print(f"feed: {_printable(str(error))}", file=sys.stderr)
        return 1
    if args.json:
        versions = dict(sorted(Counter(row.version for row in sent).items()))
        print(json.dumps({"route": args.route, "versions": versions, "answers": [asdict(row) for row in sent]}))
    else:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without € or ★ shows a question mark
        print(table(sent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
