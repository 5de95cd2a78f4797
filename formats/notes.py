"""Signed notes, checkpoints and proof files, in the C2SP text formats.

Specifications: signed-note v1.0.0 (Ed25519, type 0x01), tlog-checkpoint v1.0.0, tlog-proof v1.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import keys, merkle

_ED25519 = b"\x01"
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_NOTE = 1 << 20  # bytes; the specification asks verifiers to set a limit
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class BadNote(ValueError):
    """A note, checkpoint or proof file that is malformed, or that no trusted key signed."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key and the name it signs notes under."""

    name: str
    public: Ed25519PublicKey

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(character.isspace() for character in self.name):
            raise BadNote(f"{self.name!r} cannot name a key: no spaces, no +, not empty")

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say which key a signature line is by."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public.public_bytes_raw()).digest()[:4]

    def to_text(self) -> str:
        """The verifier key as tools for signed notes print it: `name+<key id, hex>+<base64>`."""
        encoded = base64.b64encode(_ED25519 + self.public.public_bytes_raw()).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def from_text(cls, text: str) -> "NoteKey":
        """:raises BadNote: malformed, not Ed25519, or the key id does not fit name and key."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _decode(encoded, "a verifier key")
        if len(raw) != 33 or raw[:1] != _ED25519:
            raise BadNote(f"{text!r:.120} is not an Ed25519 verifier key: name+id+key")
        key = cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        if key.key_id.hex() != key_id:
            raise BadNote(f"{text!r:.120}: the key id is {key.key_id.hex()}, the text says {key_id}")
        return key


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its name, its number of entries, its root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def from_text(cls, text: str) -> "Checkpoint":
        """Extension lines are refused: no one can audit them, and we write none.

        :raises BadNote: not exactly origin, size and root.
        """
        lines = text.split("\n")
        if len(lines) != 4 or not lines[0] or lines[3]:
            raise BadNote("a checkpoint is three lines: origin, size, root hash")
        root = _decode(lines[2], "the root hash")
        if len(root) != merkle.HASH_SIZE:
            raise BadNote(f"the root hash is {len(root)} bytes long, expected {merkle.HASH_SIZE}")
        return cls(lines[0], _number(lines[1], "the tree size"), root)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof file: entry ``index`` is in the log whose signed checkpoint, verbatim, is ``checkpoint``."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def to_text(self) -> str:
        lines = [_PROOF_HEADER]
        if self.extra is not None:
            lines.append("extra " + base64.b64encode(self.extra).decode())
        lines.append(f"index {self.index}")
        lines.extend(base64.b64encode(item).decode() for item in self.hashes)
        return "\n".join(lines) + "\n\n" + self.checkpoint

    @classmethod
    def from_text(cls, text: str) -> "Proof":
        """:raises BadNote: malformed."""
        head, blank, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or lines.pop(0) != _PROOF_HEADER:
            raise BadNote(f"a proof file starts with the line {_PROOF_HEADER} and ends with a checkpoint")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = _decode(lines.pop(0).removeprefix("extra "), "the extra data")
        if not lines or not lines[0].startswith("index "):
            raise BadNote("the proof file has no index line")
        index = _number(lines.pop(0).removeprefix("index "), "the index")
        return cls(index, tuple(_decode(line, "a proof line") for line in lines), checkpoint, extra)


def sign_note(text: str, name: str, signer: keys.Signer) -> str:
    """A signed note: ``text`` (which ends in a newline), a blank line, and one signature line under ``name``.

    :raises BadNote: the text or the name cannot be in a note.
    """
    _check_text(text)
    key = NoteKey(name, keys.load_public(signer.public_pem))
    return f"{text}\n{_signature_line(key, signer.sign(text.encode()))}"


def open_note(note: str, trusted: Iterable[NoteKey]) -> tuple[str, tuple[NoteKey, ...]]:
    """The text of a signed note and the trusted keys that signed it, at least one.

    :raises BadNote: malformed, signed by no trusted key, or a trusted key's signature is wrong.
    """
    text, lines = _split_note(note)
    known = {(key.name, key.key_id): key for key in trusted}
    signed: dict[tuple[str, bytes], NoteKey] = {}
    for name, key_id, signature in lines:
        key = known.get((name, key_id))
        if key is None:
            continue
        try:
            key.public.verify(signature, text.encode())
        except InvalidSignature:
            raise BadNote(f"the signature of {name} does not match: the note was changed") from None
        signed[name, key_id] = key
    if not signed:
        names = ", ".join(sorted({name for name, _, _ in lines}))
        raise BadNote(f"signed by {names}; none of these keys is trusted")
    return text, tuple(signed.values())


def sign_checkpoint(checkpoint: Checkpoint, signer: keys.Signer) -> str:
    """A signed checkpoint; the key signs under the log's own name. The caller has checked consistency with the last one."""
    text = checkpoint.to_text()
    if Checkpoint.from_text(text) != checkpoint:
        raise BadNote(f"{checkpoint.origin!r} cannot be the origin of a log")
    return sign_note(text, checkpoint.origin, signer)


def open_checkpoint(note: str, key: NoteKey) -> Checkpoint:
    """The checkpoint of the log ``key`` belongs to.

    :raises BadNote: malformed, not signed by ``key``, or of another log.
    """
    text, _ = open_note(note, [key])
    checkpoint = Checkpoint.from_text(text)
    if checkpoint.origin != key.name:
        raise BadNote(f"the checkpoint is of {checkpoint.origin!r}, expected {key.name!r}")
    return checkpoint


def verify_proof(text: str, leaf: bytes, key: NoteKey) -> tuple[int, Checkpoint]:
    """Check a proof file for ``leaf`` (a leaf hash) against the log's key, offline.

    :returns: the entry's index and the checkpoint it is in. The proof's extra data is not authenticated, so not returned.
    :raises BadNote: malformed, or the checkpoint is not signed by ``key``.
    :raises merkle.BadProof: the entry is not in that checkpoint.
    """
    proof = Proof.from_text(text)
    checkpoint = open_checkpoint(proof.checkpoint, key)
    merkle.verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return proof.index, checkpoint


def _signature_line(key: NoteKey, signature: bytes) -> str:
    return f"— {key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


def _split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    if len(note) > _MAX_NOTE:
        raise BadNote(f"the note is longer than {_MAX_NOTE} characters")
    body, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise BadNote("a signed note is text, a blank line, and signature lines")
    text = body + "\n"
    _check_text(text)
    return text, [_signature(line) for line in tail.removesuffix("\n").split("\n")]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not parts[1] or "+" in parts[1]:
        raise BadNote(f"{line!r:.80} is not a signature line")
    raw = _decode(parts[2], "a signature")
    if len(raw) < 5:
        raise BadNote(f"the signature of {parts[1]} is too short")
    return parts[1], raw[:4], raw[4:]


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise BadNote("the text of a note ends in a newline")
    if any(character < " " and character != "\n" for character in text):
        raise BadNote("a note holds no control characters but newlines")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadNote("a note is valid UTF-8") from None


def _decode(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote(f"{what} is not base64: {text!r:.80}") from None
    if base64.b64encode(raw).decode() != text:  # spare bits set: a second spelling of the same bytes
        raise BadNote(f"{what} is not base64 in its one spelling: {text!r:.80}")
    return raw


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise BadNote(f"{what} is not a decimal number without leading zeros: {text!r:.40}")
    return int(text)
