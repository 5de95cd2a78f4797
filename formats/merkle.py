"""RFC 6962 Merkle trees over SHA-256: roots, proofs, and a frontier to append with.

All hashes are 32 bytes. Proof *generation* is split from fetching: `inclusion_ranges` and `consistency_ranges` say which
subtree roots a proof is made of, so that a log can take them from where it stores them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class BadProof(ValueError):
    """A proof that does not prove what it claims."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All of a tree that appending needs: the roots of its full subtrees, largest (leftmost) first.

    There is one per set bit of ``size``, so a log of a million entries is a few hundred bytes.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(
                f"a frontier of size {self.size} has {self.size.bit_count()} hashes, got {len(self.hashes)}"
            )
        if any(len(item) != HASH_SIZE for item in self.hashes):
            raise ValueError(f"a hash of a frontier is not {HASH_SIZE} bytes long")

    def append(self, leaf: bytes) -> "Frontier":
        """The frontier after one more leaf hash."""
        hashes = [*self.hashes, leaf]
        full = self.size
        while full & 1:  # every full subtree of this size now has its right sibling
            right, left = hashes.pop(), hashes.pop()
            hashes.append(node_hash(left, right))
            full >>= 1
        return Frontier(self.size + 1, tuple(hashes))

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        result = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            result = node_hash(left, result)
        return result

    def to_bytes(self) -> bytes:
        """Size as 8 bytes, big-endian, then the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """:raises ValueError: the length does not fit the size it states."""
        size, rest = int.from_bytes(data[:8], "big"), data[8:]
        if len(data) < 8 or len(rest) != size.bit_count() * HASH_SIZE:
            raise ValueError(f"{len(data)} bytes are not a frontier")
        return cls(size, tuple(rest[start : start + HASH_SIZE] for start in range(0, len(rest), HASH_SIZE)))


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root of the tree over ``leaf_hashes``."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:  # an odd last node moves up unhashed, which gives RFC 6962's left-full shape
        paired = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Leaf ranges (start, end) whose subtree roots, in this order, prove leaf ``index`` in the tree of ``size``."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    ranges = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Leaf ranges whose subtree roots, in this order, prove that the tree of ``new`` extends the tree of ``old``."""
    if not 0 < old <= new:
        raise ValueError(f"there is no consistency proof from size {old} to size {new}")
    ranges = []
    start, end, complete = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, complete = middle, False
    if not complete:  # the verifier holds the old root; it needs this subtree unless that root is it
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Proof that leaf ``index`` is in the tree over ``leaf_hashes``, from the leaf's sibling upwards."""
    return [root(leaf_hashes[start:end]) for start, end in inclusion_ranges(index, len(leaf_hashes))]


def consistency_proof(leaf_hashes: Sequence[bytes], old: int) -> list[bytes]:
    """Proof that the tree over ``leaf_hashes`` extends the tree over the first ``old`` of them."""
    return [root(leaf_hashes[start:end]) for start, end in consistency_ranges(old, len(leaf_hashes))]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaf`` (a leaf hash) is entry ``index`` of the tree of ``size`` with ``root``.

    :raises BadProof: it is not, or the proof has the wrong form.
    Source: RFC 9162, 2.1.3.2; the length checks are ours.
    """
    # A leaf hash of another length would be hashed as a node just the same, and prove something that is not a leaf.
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise BadProof(f"no leaf {index} in a tree of {size}")
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise BadProof("the inclusion proof is too long")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise BadProof("the inclusion proof is too short")
    if result != root:
        raise BadProof(f"the proof gives root {result.hex()}, expected {root.hex()}")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of size ``new`` with ``new_root`` extends the tree of size ``old`` with ``old_root``.

    :raises BadProof: it does not, the proof has the wrong form, or ``old`` is 0: every tree extends the empty one, so
        such a proof would prove nothing.
    Source: RFC 9162, 2.1.4.2; the guards are ours.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 < old <= new:
        raise BadProof(f"there is no consistency proof from size {old} to size {new}")
    if old == new:
        if proof or old_root != new_root:
            raise BadProof("the sizes are equal, so the roots must be and the proof is empty")
        return
    steps = list(proof)
    if old & (old - 1) == 0:  # the old tree is full: its root is a node of the new one
        steps.insert(0, old_root)
    if not steps:
        raise BadProof("the consistency proof is too short")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_result = new_result = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise BadProof("the consistency proof is too long")
        if node & 1 or node == last:
            old_result = node_hash(step, old_result)
            new_result = node_hash(step, new_result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_result = node_hash(new_result, step)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise BadProof("the consistency proof is too short")
    if old_result != old_root or new_result != new_root:
        raise BadProof("the proof does not lead to both roots")


def _split(size: int) -> int:
    """The largest power of two below ``size``: where RFC 6962 splits a tree."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(*hashes: bytes) -> None:
    for item in hashes:
        if len(item) != HASH_SIZE:
            raise BadProof(f"a hash is {len(item)} bytes long, expected {HASH_SIZE}")
