"""Keys and DSSE envelopes: what is signed verifies, what was touched does not."""

import base64
import copy
import stat

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import digest, dsse, keys

KIND = "application/vnd.example+json"


def public(signer):
    return keys.load_public(signer.public_pem)


def test_generated_key_is_private_and_opens_again(tmp_path):
    path = tmp_path / "key.pem"
    signer = keys.generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    again = keys.FileSigner(path)
    assert again.fingerprint == signer.fingerprint
    public(again).verify(signer.sign(b"data"), b"data")


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "key.pem"
    keys.generate(path)
    before = path.read_bytes()
    with pytest.raises(keys.KeyFileError, match="never overwritten"):
        keys.generate(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_fingerprint_is_of_the_spki_der(signer):
    der = public(signer).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert signer.fingerprint == keys.fingerprint(public(signer)) == digest.of_bytes(der)
    assert keys.fingerprint(keys.load_public_der(der)) == signer.fingerprint


def test_unusable_key_files_say_why(tmp_path):
    with pytest.raises(keys.KeyFileError, match="No such file"):
        keys.FileSigner(tmp_path / "none.pem")
    (tmp_path / "noise.pem").write_bytes(b"noise")
    with pytest.raises(keys.KeyFileError, match="not a PEM PKCS8"):
        keys.FileSigner(tmp_path / "noise.pem")
    private = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "ec.pem").write_bytes(private.private_bytes(encoding, form, serialization.NoEncryption()))
    with pytest.raises(keys.KeyFileError, match="expected Ed25519"):
        keys.FileSigner(tmp_path / "ec.pem")
    locked = Ed25519PrivateKey.generate().private_bytes(
        encoding, form, serialization.BestAvailableEncryption(b"phrase")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(keys.KeyFileError, match="without passphrase"):
        keys.FileSigner(tmp_path / "locked.pem")
    spki = private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(keys.KeyFileError, match="expected Ed25519"):
        keys.load_public(spki)
    with pytest.raises(keys.KeyFileError, match="not a public key"):
        keys.load_public("noise")


def test_a_p256_key_signs_for_others_and_is_never_taken_for_an_ed25519_one(tmp_path):
    made = keys.generate_p256(tmp_path / "p256.pem")
    assert stat.S_IMODE((tmp_path / "p256.pem").stat().st_mode) == 0o600
    again = keys.P256FileSigner(tmp_path / "p256.pem")
    assert (again.fingerprint, again.public_pem) == (made.fingerprint, made.public_pem)
    public = serialization.load_pem_public_key(made.public_pem)
    public.verify(again.sign(b"data"), b"data", ec.ECDSA(hashes.SHA256()))
    assert made.fingerprint == digest.of_bytes(
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(keys.KeyFileError, match="expected Ed25519"):
        keys.FileSigner(tmp_path / "p256.pem")
    keys.generate(tmp_path / "ed25519.pem")
    with pytest.raises(keys.KeyFileError, match="expected P-256"):
        keys.P256FileSigner(tmp_path / "ed25519.pem")


def test_pae_known_answer():
    # From the DSSE specification's test vector.
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_pae_counts_bytes_not_characters():
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_envelope_round_trip(signer, other_signer):
    envelope = dsse.sign(KIND, b"payload", signer)
    assert envelope["signatures"][0]["keyid"] == signer.fingerprint
    assert dsse.verify(envelope, [public(other_signer), public(signer)], payload_type=KIND) == b"payload"


def test_unknown_signatures_are_ignored_beside_a_trusted_one(signer, other_signer):
    envelope = dsse.sign(KIND, b"payload", signer)
    foreign = {"keyid": other_signer.fingerprint, "sig": base64.b64encode(b"0" * 64).decode()}
    envelope["signatures"].insert(0, foreign)
    assert dsse.verify(envelope, [public(signer)]) == b"payload"


def flip(text):
    raw = bytearray(base64.b64decode(text))
    raw[0] ^= 1
    return base64.b64encode(bytes(raw)).decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update(payload=flip(e["payload"])), "does not match"),
        (lambda e: e.update(payloadType="application/other"), "expected 'application/vnd.example"),
        (lambda e: e["signatures"][0].update(sig=flip(e["signatures"][0]["sig"])), "does not match"),
        (lambda e: e["signatures"][0].update(keyid=digest.of_bytes(b"")), "signed by sha256:e3b0"),
        (lambda e: e["signatures"].clear(), "signed by no one"),
        (lambda e: e.pop("payload"), "payload: missing key"),
        (lambda e: e.update(payload="###"), "expected base64"),
        (lambda e: e.update(payload=5), "expected base64"),
        (lambda e: e.update(signatures={}), "expected a list"),
    ],
)
def test_a_touched_envelope_is_refused(signer, change, words):
    envelope = dsse.sign(KIND, b"payload", signer)
    change(envelope)
    with pytest.raises(dsse.BadSignature) as caught:
        dsse.verify(envelope, [public(signer)], payload_type=KIND)
    assert words in str(caught.value)


def test_the_type_is_signed_too(signer):
    envelope = copy.deepcopy(dsse.sign(KIND, b"payload", signer))
    envelope["payloadType"] = "application/other"
    with pytest.raises(dsse.BadSignature, match="does not match"):
        dsse.verify(envelope, [public(signer)])


def test_without_trusted_keys_nothing_verifies(signer):
    with pytest.raises(dsse.BadSignature, match="trusted are no keys"):
        dsse.verify(dsse.sign(KIND, b"payload", signer), [])
    with pytest.raises(dsse.BadSignature, match="not a DSSE envelope"):
        dsse.verify("text", [public(signer)])
