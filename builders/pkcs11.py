"""Keys in a device that never shows them, by PKCS#11: the signer that takes the place of a key file."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pkcs11
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_ecdsa_signature

from formats import digest
from formats.keys import KeyFileError

_ED25519_SIZE, _P256_SIZE = 32, 65
_one_at_a_time = threading.Lock()  # a process logs in to a token once


@dataclass(frozen=True)
class Device:
    """A token of a PKCS#11 module, e.g. ``/usr/lib/softhsm/libsofthsm2.so`` and its label; the PIN is in no message."""

    module: str
    token: str
    pin: str = field(repr=False)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session that is logged in.

        :raises KeyFileError: module, token or PIN are not right.
        """
        with _one_at_a_time:
            try:
                with pkcs11.lib(self.module).get_token(token_label=self.token).open(user_pin=self.pin) as session:
                    yield session
            except (pkcs11.PKCS11Error, pkcs11.exceptions.MultipleTokensReturned, RuntimeError) as error:
                raise KeyFileError(
                    f"the token {self.token!r} of {self.module} cannot be used: {str(error) or type(error).__name__}"
                ) from None


class DeviceSigner:
    """A key pair of a device, by its label: Ed25519 or P-256.

    :raises KeyFileError: it is not there, or of another kind.
    """

    def __init__(self, device: Device, label: str) -> None:
        self._device, self._label = device, label
        with device.session() as session:
            try:
                public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label)
            except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
                raise KeyFileError(
                    f"the token {device.token!r} holds not exactly one key pair labelled {label!r}: "
                    "docs/operations.md shows how to make it"
                ) from error
            self._kind: KeyType = public.key_type
            point = bytes(public[Attribute.EC_POINT])
        self._public = self._read(point)

    def _read(self, point: bytes) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
        # The point stands in an OCTET STRING; some devices leave that out.
        try:
            if self._kind is KeyType.EC_EDWARDS:
                return Ed25519PublicKey.from_public_bytes(point[-_ED25519_SIZE:])
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[-_P256_SIZE:])
        except ValueError as error:
            raise KeyFileError(f"the key {self._label!r} is neither Ed25519 nor P-256: {error}") from error

    @property
    def fingerprint(self) -> str:
        return digest.of_bytes(
            self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    @property
    def public_pem(self) -> bytes:
        return self._public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        with self._device.session() as session:
            key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=self._label)
            if self._kind is KeyType.EC_EDWARDS:
                return bytes(key.sign(data, mechanism=Mechanism.EDDSA))
            raw = key.sign(hashlib.sha256(data).digest(), mechanism=Mechanism.ECDSA)
            return bytes(encode_ecdsa_signature(raw))
