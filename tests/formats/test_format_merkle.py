"""RFC 6962 trees: known answers, every small proof, every kind of corruption."""

import hashlib

import pytest

from formats import merkle
from formats.merkle import BadProof, Frontier

MOST = 40
LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(MOST)]
ROOTS = [merkle.root(LEAVES[:size]) for size in range(MOST + 1)]


def reference_root(hashes):
    """RFC 6962, 2.1, as it is written there."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + reference_root(hashes[:split]) + reference_root(hashes[split:])).digest()


def test_known_answers():
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    node = merkle.node_hash(b"N123", b"N456")
    assert node.hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [merkle.leaf_hash(bytes.fromhex(entry)) for entry in entries]
    assert merkle.root(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert merkle.root([]) == Frontier().root() == merkle.EMPTY_ROOT


def test_root_and_frontier_agree_with_the_definition():
    frontier = Frontier()
    for size in range(1, MOST + 1):
        frontier = frontier.append(LEAVES[size - 1])
        assert frontier.size == size
        assert frontier.root() == ROOTS[size] == reference_root(LEAVES[:size])
        assert Frontier.from_bytes(frontier.to_bytes()) == frontier


@pytest.mark.parametrize("data", [b"", b"\x00" * 7, (3).to_bytes(8, "big") + b"x" * 32, (0).to_bytes(8, "big") + b"x"])
def test_a_damaged_frontier_is_refused(data):
    with pytest.raises(ValueError, match="not a frontier"):
        Frontier.from_bytes(data)


def test_a_frontier_holds_whole_hashes_for_its_size():
    with pytest.raises(ValueError, match="has 2 hashes, got 1"):
        Frontier(3, (LEAVES[0],))
    with pytest.raises(ValueError, match="not 32 bytes"):
        Frontier(1, (b"short",))


def test_every_inclusion_proof_verifies():
    for size in range(1, MOST + 1):
        for index in range(size):
            proof = merkle.inclusion_proof(LEAVES[:size], index)
            merkle.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_every_consistency_proof_verifies():
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            proof = merkle.consistency_proof(LEAVES[:new], old)
            merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


def corruptions(proof, bits):
    """Every proof that differs in one of ``bits`` of one hash, in one hash left out, doubled, cut or added."""
    for position, item in enumerate(proof):
        for bit in bits:
            changed = bytearray(item)
            changed[bit // 8] ^= 1 << bit % 8
            yield [*proof[:position], bytes(changed), *proof[position + 1 :]]
        yield [*proof[:position], *proof[position + 1 :]]
        yield [*proof[:position], item, *proof[position:]]
        yield [*proof[:position], item[:-1], *proof[position + 1 :]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]


def bits_for(size):
    # All 256 bits for the small trees and one large odd one; the first and last bit everywhere else keep this fast.
    return range(256) if size <= 8 or size == 21 else (0, 255)


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_corrupted_inclusion_proofs_are_refused(size):
    for index in range(size):
        proof = merkle.inclusion_proof(LEAVES[:size], index)
        for bad in corruptions(proof, bits_for(size)):
            with pytest.raises(BadProof):
                merkle.verify_inclusion(LEAVES[index], index, size, bad, ROOTS[size])
        for other in {index - 1, index + 1, size}:
            with pytest.raises(BadProof):
                merkle.verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size])
        with pytest.raises(BadProof):
            merkle.verify_inclusion(LEAVES[index - 1] if size > 1 else bytes(32), index, size, proof, ROOTS[size])
        with pytest.raises(BadProof):
            merkle.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size - 1])


@pytest.mark.parametrize("new", range(1, MOST + 1))
def test_corrupted_consistency_proofs_are_refused(new):
    for old in range(1, new + 1):
        proof = merkle.consistency_proof(LEAVES[:new], old)
        for bad in corruptions(proof, bits_for(new)):
            with pytest.raises(BadProof):
                merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], bad)
        with pytest.raises(BadProof):
            merkle.verify_consistency(old, new, ROOTS[old - 1], ROOTS[new], proof)
        with pytest.raises(BadProof):
            merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new - 1], proof)


def test_guard_consistency_from_nothing_is_refused():
    with pytest.raises(BadProof, match="no consistency proof from size 0"):
        merkle.verify_consistency(0, 5, ROOTS[0], ROOTS[5], [])
    with pytest.raises(BadProof, match="from size 5 to size 4"):
        merkle.verify_consistency(5, 4, ROOTS[5], ROOTS[4], [])


def test_guard_a_leaf_hash_of_another_length_is_refused():
    # Without the guard this verifies: the two children of a node, hashed as one long "leaf" beside an empty sibling.
    left, right = LEAVES[:2]
    with pytest.raises(BadProof, match="64 bytes long, expected 32"):
        merkle.verify_inclusion(left + right, 0, 2, [b""], ROOTS[2])
    with pytest.raises(BadProof, match="0 bytes long, expected 32"):
        merkle.verify_inclusion(b"", 0, 1, [], b"")


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_there_is_no_proof_of_a_leaf_outside_the_tree(index, size):
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_ranges(index, size)
    with pytest.raises(BadProof, match="no leaf"):
        merkle.verify_inclusion(LEAVES[0], index, size, [], ROOTS[size])


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3)])
def test_there_are_no_consistency_ranges_backwards(old, new):
    with pytest.raises(ValueError, match="no consistency proof"):
        merkle.consistency_ranges(old, new)


def test_proofs_stay_short_in_large_trees():
    ranges = merkle.inclusion_ranges(123_456_789, 10**9 + 7)
    assert len(ranges) <= 31
    assert sum(end - start for start, end in ranges) == 10**9 + 6
    assert len(merkle.consistency_ranges(10**8 + 3, 10**9 + 7)) <= 32
