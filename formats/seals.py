"""Sealed documents: canonical JSON under a DSSE envelope that carries its public key, so that a fingerprint is enough to check it."""

import base64
from typing import Any

from . import canonical, dsse, keys
from .shapes import Node, ShapeError


class BadSeal(ValueError):
    """The document is not signed, was changed, or was signed by another key than the one expected."""


def seal(value: Any, payload_type: str, signer: keys.Signer) -> bytes:
    """``value`` under an envelope signed by ``signer``, as canonical JSON bytes.

    The signature entry also has `publicKey`, base64 of the key's DER; DSSE readers ignore it.
    """
    envelope = dsse.sign(payload_type, canonical.dumps(value), signer)
    public = keys.public_der(keys.load_public(signer.public_pem))
    envelope["signatures"][0]["publicKey"] = base64.b64encode(public).decode()
    return canonical.dumps(envelope)


def open_sealed(data: bytes, payload_type: str, fingerprint: str | None, *, what: str, hint: str) -> tuple[Any, str]:
    """The document under a seal, and the fingerprint of the key that signed it.

    :param fingerprint: of the key that must have signed. None checks only that nothing changed since *some* key signed.
    :param what: names the document in messages; ``hint`` says what another key most often means.
    :raises BadSeal: not an envelope, changed, of another type, or signed by another key.
    """
    try:
        envelope = canonical.loads(data)
        entry = Node(envelope).members(("signatures",))["signatures"].items(least=1, most=1)[0]
        public = keys.load_public_der(entry.members(("publicKey",))["publicKey"].base64())
        found = keys.fingerprint(public)
        if fingerprint is not None and found != fingerprint:
            raise BadSeal(f"signed by {found}, expected {fingerprint}: {hint}")
        payload = dsse.verify(envelope, [public], payload_type=payload_type)
        return canonical.loads(payload), found
    except (canonical.CanonicalError, ShapeError, keys.KeyFileError, dsse.BadSignature) as error:
        raise BadSeal(f"{what} cannot be trusted: {error}") from None
