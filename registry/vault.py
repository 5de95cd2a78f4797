"""Secrets: password hashes, tokens that can be checked but not read back, and sealing with the secret key."""

import base64
import binascii
import functools
import hashlib
import secrets
import zlib

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from registry.errors import TokenRefused

TOKEN_PREFIX = "cs"  # noqa: S105 - lets secret scanners find a leaked token
_hasher = PasswordHasher()


@functools.cache
def _dummy() -> str:
    """Checked when the name is unknown, so that the answer takes as long. Made late: it takes 0.2 s and 64 MB."""
    return _hasher.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """Argon2id with the library's current defaults."""
    return _hasher.hash(password)


def password_matches(stored: str | None, password: str) -> bool:
    """Compare in constant effort, also when there is no such person or no password yet."""
    dummy = _dummy()  # whoever asks first waits for it, known or not
    try:
        return _hasher.verify(stored or dummy, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def new_secret() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Hex SHA-256; enough for random secrets, which need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_token() -> tuple[str, str, str]:
    """Make a bearer token: (what the user keeps, public handle, hash to store).

    ``cs_<handle>_<secret><crc>``: prefix and check sum let scanners recognise one without asking us.
    """
    handle = secrets.token_hex(6)
    secret = secrets.token_hex(32)
    return f"{TOKEN_PREFIX}_{handle}_{secret}{_crc(handle + secret)}", handle, hash_secret(secret)


def split_token(token: str) -> tuple[str, str]:
    """(handle, secret) of a well-formed token.

    :raises TokenRefused: not one of ours, or mistyped.
    """
    parts = token.split("_")
    if len(parts) != 3 or parts[0] != TOKEN_PREFIX or len(parts[2]) != 72:
        raise TokenRefused("this is not a Countersign token", hint="A token looks like cs_<id>_<secret>.")
    handle, secret, crc = parts[1], parts[2][:64], parts[2][64:]
    if crc != _crc(handle + secret):
        raise TokenRefused("the token is mistyped or cut", hint="Copy it again, or create a new one.")
    return handle, secret


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


class Vault:
    """Seals second-factor secrets at rest with a key derived from the installation's secret key."""

    def __init__(self, secret_key: str) -> None:
        """Derive the sealing key (HKDF-SHA256)."""
        derived = HKDF(hashes.SHA256(), 32, None, b"countersign second factors").derive(secret_key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def seal(self, text: str) -> str:
        """Encrypt for storage."""
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Decrypt what was sealed under the same secret key.

        :raises TokenRefused: sealed under another key.
        """
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except (InvalidToken, binascii.Error) as error:
            raise TokenRefused(
                "the stored second factor was sealed under another secret key",
                hint="Restore COUNTERSIGN_SECRET_KEY from backup, or have the second factor reset.",
            ) from error
