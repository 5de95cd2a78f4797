"""Release digest: one digest over everything that decides what will run. It is what people approve."""

from collections.abc import Iterable
from typing import Any

from . import canonical
from . import digest as digests
from .shapes import Node

SCHEMA = "countersign.release/1"


def build(
    *,
    artifacts: str,
    lock: str,
    card: str,
    signature: str,
    reports: Iterable[tuple[str, str]],
    compiled: str | None = None,
) -> dict[str, Any]:
    """The document that the release digest is taken of. All parts are digests.

    :param card: digest of the card's bytes, as pushed.
    :param reports: step and report digest of every check, in step order.
    :param compiled: digest of the compiled form, or None when the model runs in its own library.
    :raises ShapeError: a malformed digest, a step twice, no report.
    """
    document = {
        "schema": SCHEMA,
        "artifacts": artifacts,
        "lock": lock,
        "card": card,
        "signature": signature,
        "reports": [{"step": step, "digest": report} for step, report in reports],
        "compiled": compiled,
    }
    check(document)
    return document


def check(document: Any) -> None:
    """:raises ShapeError: ``document`` is not a release-digest input of this version."""
    node = Node(document)
    node.schema(SCHEMA)
    fields = node.fields(("schema", "artifacts", "lock", "card", "signature", "reports", "compiled"))
    for part in ("artifacts", "lock", "card", "signature"):
        fields[part].digest()
    if fields["compiled"].value is not None:
        fields["compiled"].digest()
    steps: set[str] = set()
    for item in fields["reports"].items(least=1):
        report = item.fields(("step", "digest"))
        step = report["step"].text(r"[a-z][a-z0-9-]*", "the name of a check step")
        report["digest"].digest()
        if step in steps:
            raise report["step"].fail(f"the step {step!r} appears twice")
        steps.add(step)


def digest(document: Any) -> str:
    """The release digest.

    :raises ShapeError: ``document`` is not a release-digest input.
    """
    check(document)
    return canonical.digest(document)


def card_digest(card: bytes) -> str:
    """Digest of a card as it was pushed, byte for byte."""
    return digests.of_bytes(card)
