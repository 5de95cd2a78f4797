"""Signed notes, checkpoints and proof files in the C2SP formats."""

import base64

import pytest

from formats import keys, merkle, notes
from formats.notes import BadNote, Checkpoint, NoteKey, Proof

ORIGIN = "registry.example/audit"
# A note and key published with the Go implementation of signed notes.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PUBLISHED_NOTE = PUBLISHED_TEXT + (
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(5)]


@pytest.fixture
def key(signer):
    return NoteKey(ORIGIN, keys.load_public(signer.public_pem))


def test_a_published_note_verifies():
    key = NoteKey.from_text(PUBLISHED_KEY)
    assert notes.open_note(PUBLISHED_NOTE, [key]) == (PUBLISHED_TEXT, (key,))
    assert key.to_text() == PUBLISHED_KEY
    assert key.key_id.hex() == "c74f20a3"


@pytest.mark.parametrize(
    "text",
    [
        PUBLISHED_KEY.replace("c74f20a3", "c74f20a4"),
        PUBLISHED_KEY.replace("PeterNeumann", "Other"),
        PUBLISHED_KEY[:-4],
        "PeterNeumann",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_a_damaged_verifier_key_is_refused(text):
    with pytest.raises(BadNote):
        NoteKey.from_text(text)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "non\u00a0breaking"])
def test_key_names_hold_no_spaces_and_no_plus(name, key):
    with pytest.raises(BadNote, match="cannot name a key"):
        NoteKey(name, key.public)


def test_note_round_trip_with_blank_lines_in_the_text(signer, key):
    text = "first\n\nsecond\n"
    note = notes.sign_note(text, ORIGIN, signer)
    assert note.startswith(text + "\n— " + ORIGIN + " ")
    assert notes.open_note(note, [key]) == (text, (key,))


def test_every_changed_character_is_noticed(signer, key):
    note = notes.sign_note("size 5\nroot\n", ORIGIN, signer)
    for position, character in enumerate(note):
        changed = note[:position] + ("x" if character != "x" else "y") + note[position + 1 :]
        with pytest.raises(BadNote):
            notes.open_note(changed, [key])


def test_a_second_signature_line_is_ignored_unless_its_key_is_known(signer, other_signer, key):
    text = "text\n"
    other = notes.sign_note(text, "witness.example", other_signer)
    both = notes.sign_note(text, ORIGIN, signer) + other.split("\n\n")[1]
    witness = NoteKey("witness.example", keys.load_public(other_signer.public_pem))
    assert notes.open_note(both, [key])[1] == (key,)
    assert notes.open_note(both, [witness, key])[1] == (key, witness)
    forged = (
        notes.sign_note(text, ORIGIN, signer)
        + notes.sign_note("other\n", "witness.example", other_signer).split("\n\n")[1]
    )
    with pytest.raises(BadNote, match=r"witness\.example does not match"):
        notes.open_note(forged, [key, witness])


def test_the_same_name_under_another_key_is_unknown(other_signer, key):
    with pytest.raises(BadNote, match="none of these keys is trusted"):
        notes.open_note(notes.sign_note("text\n", ORIGIN, other_signer), [key])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n— name\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n— na+me AAAAAAAA\n",
        "text\n\n— name AAAA\n",
        "text\n\n— name ###\n",
        "text\n\n— name AAAAAAB=\n",
        "text\r\n\n— name AAAAAAAA\n",
        "text\n\n— name AAAAAAAA",
        "x" * (1 << 20) + "\n\n— name AAAAAAAA\n",
    ],
)
def test_malformed_notes_are_refused(note, key):
    with pytest.raises(BadNote):
        notes.open_note(note, [key])


@pytest.mark.parametrize("text", ["no newline", "tab\there\n", "\ud800\n"])
def test_text_that_cannot_be_in_a_note_is_not_signed(text, signer):
    with pytest.raises(BadNote):
        notes.sign_note(text, ORIGIN, signer)


def test_checkpoint_round_trip(signer, key):
    checkpoint = Checkpoint(ORIGIN, 5, merkle.root(LEAVES))
    note = notes.sign_checkpoint(checkpoint, signer)
    assert note.split("\n")[:3] == [ORIGIN, "5", base64.b64encode(checkpoint.root).decode()]
    assert notes.open_checkpoint(note, key) == checkpoint


def test_a_checkpoint_of_another_log_under_our_key_is_refused(signer, key):
    other = Checkpoint("other.example/log", 5, merkle.root(LEAVES)).to_text()
    with pytest.raises(BadNote, match=r"is of 'other\.example/log'"):
        notes.open_checkpoint(notes.sign_note(other, ORIGIN, signer), key)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n05\n{ROOT}\n",
        f"{ORIGIN}\n-5\n{ROOT}\n",
        f"{ORIGIN}\n٥\n{ROOT}\n",
        f"{ORIGIN}\n5\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n5\n{ROOT}\nextension\n",
        f"\n5\n{ROOT}\n",
        f"{ORIGIN}\n5\n",
    ],
)
def test_malformed_checkpoints_are_refused(text):
    with pytest.raises(BadNote):
        Checkpoint.from_text(text)


def test_an_origin_with_a_newline_is_not_signed(signer):
    with pytest.raises(BadNote):
        notes.sign_checkpoint(Checkpoint("a\nb", 1, bytes(32)), signer)


@pytest.fixture
def proof(signer):
    checkpoint = notes.sign_checkpoint(Checkpoint(ORIGIN, 5, merkle.root(LEAVES)), signer)
    return Proof(2, tuple(merkle.inclusion_proof(LEAVES, 2)), checkpoint)


def test_proof_file_round_trip(proof, key):
    text = proof.to_text()
    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 2\n")
    assert Proof.from_text(text) == proof
    index, checkpoint = notes.verify_proof(text, LEAVES[2], key)
    assert (index, checkpoint.size) == (2, 5)


def test_proof_file_with_extra_data(proof, key):
    text = Proof(proof.index, proof.hashes, proof.checkpoint, b"salt").to_text()
    assert text.split("\n")[1] == "extra c2FsdA=="
    assert Proof.from_text(text).extra == b"salt"
    assert notes.verify_proof(text, LEAVES[2], key)[0] == 2


def test_proof_file_of_the_only_entry(signer, key):
    checkpoint = notes.sign_checkpoint(Checkpoint(ORIGIN, 1, LEAVES[0]), signer)
    text = Proof(0, (), checkpoint).to_text()
    assert notes.verify_proof(text, LEAVES[0], key)[0] == 0


def test_a_proof_of_another_entry_or_key_is_refused(proof, other_signer, key):
    with pytest.raises(merkle.BadProof):
        notes.verify_proof(proof.to_text(), LEAVES[3], key)
    with pytest.raises(merkle.BadProof):
        notes.verify_proof(proof.to_text().replace("index 2", "index 3"), LEAVES[2], key)
    with pytest.raises(BadNote, match="none of these keys"):
        notes.verify_proof(proof.to_text(), LEAVES[2], NoteKey(ORIGIN, keys.load_public(other_signer.public_pem)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"),
        ("index 2", "index 02"),
        ("index 2\n", ""),
        ("index 2", "index 2\n!"),
        ("index 2", "extra ?\nindex 2"),
        ("\n\n", "\n"),
    ],
)
def test_malformed_proof_files_are_refused(proof, old, new, key):
    with pytest.raises(BadNote):
        notes.verify_proof(proof.to_text().replace(old, new), LEAVES[2], key)
