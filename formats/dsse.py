"""DSSE v1 envelopes: a payload, its type, and Ed25519 signatures over both."""

import base64
from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import keys
from .shapes import Node, ShapeError


class BadSignature(ValueError):
    """The envelope is not one, or no key that is trusted signed it."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: what is signed. Lengths are in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signer: keys.Signer) -> dict[str, Any]:
    """An envelope (JSON-ready) with one signature by ``signer``, whose fingerprint is the key id."""
    signature = signer.sign(pae(payload_type, payload))
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": signer.fingerprint, "sig": base64.b64encode(signature).decode()}],
    }


def verify(envelope: Any, trusted: Iterable[Ed25519PublicKey], *, payload_type: str | None = None) -> bytes:
    """The payload, when a trusted key signed it.

    :param trusted: public keys, any one of which suffices; signatures by other keys are ignored.
    :param payload_type: the type expected; None accepts any, for callers that look at the type themselves.
    :raises BadSignature: malformed, of another type, unsigned by a trusted key, or a trusted key's signature is wrong.
    """
    try:
        kind, payload, signatures = _read(envelope)
    except ShapeError as error:
        raise BadSignature(f"not a DSSE envelope: {error}") from None
    if payload_type is not None and kind != payload_type:
        raise BadSignature(f"the payload is {kind!r}, expected {payload_type!r}")
    by_id = {keys.fingerprint(key): key for key in trusted}
    matched = 0
    for key_id, signature in signatures:
        key = by_id.get(key_id)
        if key is None:
            continue
        try:
            key.verify(signature, pae(kind, payload))
        except InvalidSignature:
            raise BadSignature(
                f"the signature of key {key_id} does not match: payload or signature was changed"
            ) from None
        matched += 1
    if not matched:
        found = ", ".join(key_id for key_id, _ in signatures)
        raise BadSignature(f"signed by {found or 'no one'}; trusted are {', '.join(sorted(by_id)) or 'no keys'}")
    return payload


def _read(envelope: Any) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    # DSSE asks consumers to ignore members they do not know, so these are not strict about extra keys.
    fields = Node(envelope).members(("payloadType", "payload", "signatures"))
    signatures = []
    for item in fields["signatures"].items():
        entry = item.members(("keyid", "sig"))
        signatures.append((entry["keyid"].text(), entry["sig"].base64()))
    return fields["payloadType"].text(), fields["payload"].base64(), signatures
