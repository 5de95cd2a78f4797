"""Key pairs, behind the one interface every signature goes through: Ed25519, and P-256 where a standard asks for it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from . import digest


class KeyFileError(ValueError):
    """A key cannot be read or written; the message names the file and what to do."""


class Signer(Protocol):
    """Something that signs with one key: a file, or a device that never shows the key."""

    @property
    def fingerprint(self) -> str:
        """`sha256:<hex>` of the public key's SubjectPublicKeyInfo DER."""

    @property
    def public_pem(self) -> bytes:
        """The public key, PEM."""

    def sign(self, data: bytes) -> bytes:
        """A signature over ``data``: the 64 bytes of Ed25519 (RFC 8032), or ECDSA with SHA-256 in DER for a P-256 key."""


def _private(path: str | Path) -> object:
    try:
        return serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}: create the key or correct the setting") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path}: not a PEM PKCS8 private key without passphrase") from None


class FileSigner:
    """A signer whose private key is a PEM PKCS8 file without a passphrase.

    :raises KeyFileError: the file is missing, is no such key, or the key is not Ed25519.
    """

    def __init__(self, path: str | Path) -> None:
        key = _private(path)
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path}: the key is {type(key).__name__}, expected Ed25519")
        self._key = key
        self._fingerprint = fingerprint(key.public_key())

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def public_pem(self) -> bytes:
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


class P256FileSigner:
    """As :class:`FileSigner`, for a P-256 key."""

    def __init__(self, path: str | Path) -> None:
        key = _private(path)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyFileError(f"{path}: the key is {type(key).__name__}, expected P-256")
        self._key = key
        self._der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def fingerprint(self) -> str:
        return digest.of_bytes(self._der)

    @property
    def public_pem(self) -> bytes:
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def generate(path: str | Path) -> FileSigner:
    """Create an Ed25519 key pair at ``path`` (PEM PKCS8, mode 0600, durable when this returns) and open it.

    :raises KeyFileError: something is there already: a key is never overwritten.
    """
    _keep(Path(path), Ed25519PrivateKey.generate())
    return FileSigner(path)


def generate_p256(path: str | Path) -> P256FileSigner:
    """Create a P-256 key pair at ``path``, as :func:`generate` does."""
    _keep(Path(path), ec.generate_private_key(ec.SECP256R1()))
    return P256FileSigner(path)


def _keep(target: Path, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # Written beside and linked: a crash leaves no half key at the name, and a link, unlike a rename, never overwrites.
    descriptor, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, target)
    except FileExistsError:
        raise KeyFileError(f"{target}: exists already, and a key is never overwritten: choose another path") from None
    finally:
        Path(scratch).unlink()
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_public(pem: bytes | str) -> Ed25519PublicKey:
    """:raises KeyFileError: ``pem`` is not an Ed25519 public key."""
    return _load(serialization.load_pem_public_key, pem.encode() if isinstance(pem, str) else pem)


def load_public_der(der: bytes) -> Ed25519PublicKey:
    """:raises KeyFileError: ``der`` is not an Ed25519 SubjectPublicKeyInfo."""
    return _load(serialization.load_der_public_key, der)


def public_der(public: Ed25519PublicKey) -> bytes:
    """SubjectPublicKeyInfo, DER: what the fingerprint is taken of."""
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(public: Ed25519PublicKey) -> str:
    """`sha256:<hex>` of the key's SubjectPublicKeyInfo DER."""
    return digest.of_bytes(public_der(public))


def _load(loader: Callable[[bytes], object], data: bytes) -> Ed25519PublicKey:
    try:
        key = loader(data)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("not a public key in PEM or DER form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"the public key is {type(key).__name__}, expected Ed25519")
    return key
