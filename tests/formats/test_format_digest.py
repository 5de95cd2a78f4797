"""Digests as text, and hashing in streams."""

import hashlib
import io

import pytest

from formats import digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_of_bytes_file_and_stream_agree(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    expected = "sha256:" + hashlib.sha256(data).hexdigest()
    assert digest.of_bytes(data) == expected
    assert digest.of_file(tmp_path / "file") == (expected, len(data))
    assert digest.of_stream(io.BytesIO(data)) == (expected, len(data))
    assert digest.of_bytes(b"") == EMPTY


def test_copy_hashing_copies_and_hashes():
    data = b"x" * (3 * digest.CHUNK + 17)
    sink = io.BytesIO()
    assert digest.copy_hashing(io.BytesIO(data), sink) == (digest.of_bytes(data), len(data))
    assert sink.getvalue() == data


def test_copy_hashing_stops_at_its_limit():
    data = b"x" * (2 * digest.CHUNK)
    assert digest.copy_hashing(io.BytesIO(data), io.BytesIO(), limit=len(data))[1] == len(data)
    sink = io.BytesIO()
    with pytest.raises(digest.LimitExceeded, match=f"{len(data) - 1} bytes allowed"):
        digest.copy_hashing(io.BytesIO(data), sink, limit=len(data) - 1)
    assert len(sink.getvalue()) < len(data)


def test_short_is_for_the_eye():
    assert digest.short(EMPTY) == "sha256:e3b0c4…b855"


@pytest.mark.parametrize(
    "text",
    [EMPTY[7:], EMPTY.upper(), EMPTY + "\n", EMPTY[:-1], EMPTY + "0", "sha512:" + "0" * 64, "", None, 5],
)
def test_only_the_one_spelling_is_a_digest(text):
    with pytest.raises(ValueError, match="is not a digest"):
        digest.parse(text)


def test_parse_gives_the_hex_digits():
    assert digest.parse(EMPTY) == EMPTY[7:]
