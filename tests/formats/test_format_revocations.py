"""The revocation list: read only under the key that was expected."""

import dataclasses
import json

import pytest

from formats import manifest, revocations, seals
from formats.revocations import Revocation, Revocations
from formats.seals import BadSeal
from formats.shapes import ShapeError

TIME = "2026-03-04T09:30:00Z"


def sha(character):
    return "sha256:" + character * 64


RELEASE = Revocation("release", sha("a"), "payments/voice:2", TIME)
IMAGE = Revocation("image", sha("b"), "payments/desk", TIME)
LIST = Revocations(TIME, (RELEASE, IMAGE))


def test_a_list_comes_back_as_it_was_sealed(signer):
    assert revocations.open_sealed(revocations.seal(LIST, signer), signer.fingerprint) == LIST


def test_a_list_of_another_key_is_refused(signer, other_signer):
    data = revocations.seal(LIST, other_signer)
    with pytest.raises(
        BadSeal, match=f"signed by {other_signer.fingerprint}, expected {signer.fingerprint}: wrong list"
    ):
        revocations.open_sealed(data, signer.fingerprint)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"revoked": []}', json.dumps(LIST.to_dict()).encode()])
def test_an_unsigned_list_is_refused(signer, data):
    with pytest.raises(BadSeal, match="the revocation list cannot be trusted"):
        revocations.open_sealed(data, signer.fingerprint)


def test_another_sealed_document_of_the_same_key_is_refused(signer):
    data = seals.seal(LIST.to_dict(), manifest.PAYLOAD_TYPE, signer)
    with pytest.raises(BadSeal, match=r"expected 'application/vnd\.countersign\.revocations"):
        revocations.open_sealed(data, signer.fingerprint)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (dataclasses.replace(LIST, issued_at="yesterday"), "issued_at: expected a time in UTC"),
        (dataclasses.replace(LIST, revoked=(dataclasses.replace(RELEASE, kind="model"),)), r"revoked\[0\].kind"),
        (dataclasses.replace(LIST, revoked=(dataclasses.replace(RELEASE, digest="a"),)), r"revoked\[0\].digest"),
    ],
)
def test_a_list_that_could_not_be_read_again_is_not_sealed(signer, wrong, told):
    with pytest.raises(ShapeError, match=told):
        revocations.seal(wrong, signer)
