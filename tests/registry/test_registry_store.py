"""The store: hashed while written, put once, checked on every read; a full disk loses nothing."""

import errno
import io
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats import digest as digests
from registry import store as store_module
from registry.errors import DigestMismatch, NotFound, StorageFull, TooLarge, Unavailable
from registry.store import CHUNK, LocalStore
from tests.support import at_once, require


def files_in(store):
    return [path for folder in (store._incoming, store._objects) for path in folder.rglob("*") if path.is_file()]


class Torn:
    """A source that breaks in the middle, as a connection does."""

    def __init__(self, data):
        self.left = data

    def read(self, size, /):
        if not self.left:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        piece, self.left = self.left[:size], b""
        return piece


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_is_put_is_read_back(store, size):
    data = os.urandom(size)
    digest, stored = store.put(io.BytesIO(data))
    assert (digest, stored) == (digests.of_bytes(data), size)
    assert store.has(digest)
    assert store.size(digest) == size
    assert b"".join(store.chunks(digest)) == store.read(digest, limit=size) == data
    assert list(store.digests()) == [digest]


def test_putting_again_keeps_the_first_object_untouched(store):
    digest, _ = store.put(io.BytesIO(b"model"))
    before = store.path(digest).stat()
    assert store.put(io.BytesIO(b"model"))[0] == digest
    after = store.path(digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(files_in(store)) == 1


def test_an_object_cannot_be_written_to(store):
    digest, _ = store.put(io.BytesIO(b"model"))
    assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o440


def test_the_same_bytes_put_by_many_at_once_are_one_object(store):
    data = os.urandom(2 * CHUNK)
    answers = at_once(*[lambda: store.put(io.BytesIO(data))[0]] * 8)
    assert answers == [digests.of_bytes(data)] * 8
    assert len(files_in(store)) == 1


@pytest.mark.parametrize(
    ("source", "arguments", "error"),
    [
        pytest.param(io.BytesIO(b"cut"), {"expected": digests.of_bytes(b"cut off")}, DigestMismatch, id="digest"),
        pytest.param(io.BytesIO(b"x" * 11), {"limit": 10}, TooLarge, id="too-large"),
        pytest.param(Torn(b"half"), {}, ConnectionResetError, id="connection-lost"),
    ],
)
def test_a_refused_put_leaves_nothing(store, source, arguments, error):
    with pytest.raises(error) as caught:
        store.put(source, **arguments)
    assert getattr(caught.value, "hint", "none needed")
    assert files_in(store) == []


def test_a_mismatch_names_both_digests(store):
    with pytest.raises(DigestMismatch) as caught:
        store.put(io.BytesIO(b"cut"), expected=digests.of_bytes(b"whole"))
    assert digests.of_bytes(b"cut") in str(caught.value)
    assert digests.of_bytes(b"whole") in str(caught.value)


def test_exactly_the_limit_fits(store):
    assert store.put(io.BytesIO(b"x" * 10), limit=10)[1] == 10


FILL_A_DISK = """
import errno, io, os, sys
from pathlib import Path
from registry.errors import StorageFull
from registry.store import LocalStore
root = Path(sys.argv[1])
store = LocalStore(root)
small, _ = store.put(io.BytesIO(b"small"))
try:
    store.put(io.BytesIO(os.urandom(1 << 20)))
except StorageFull as error:
    assert error.__cause__.errno == errno.ENOSPC and error.hint
else:
    sys.exit("the disk of 256 KiB took a MiB")
left = [path for path in root.rglob("*") if path.is_file()]
assert [path.name for path in left] == [small.removeprefix("sha256:")], left
assert store.read(small, limit=5) == b"small"
store.put(io.BytesIO(b"again"))  # the space came back
"""


def mounts_allowed():
    """Whether this machine lets us mount a file system of our own."""
    if sys.platform != "linux":
        return False
    probe = [*private_mounts(), "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def private_mounts():
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def test_a_full_disk_is_told_and_gives_its_space_back(tmp_path):
    """A real file system of 256 KiB, mounted where only this test's child sees it."""
    if not mounts_allowed():
        require("mount", "run as root on Linux, or allow user namespaces")
    script = f'mount -t tmpfs -o size=256k none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    command = [*private_mounts(), "sh", "-c", script, FILL_A_DISK]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path.cwd(), timeout=60)
    assert child.returncode == 0, child.stderr


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_found_full_by_fsync_is_told_too(store, monkeypatch, code):
    """File systems that allocate late report the full disk only here."""

    def full(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(StorageFull) as caught:
        store.put(io.BytesIO(b"model"))
    assert caught.value.hint
    monkeypatch.undo()
    assert list(store._incoming.iterdir()) == []


def test_another_disk_fault_is_not_called_full(store, monkeypatch):
    def broken(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store_module.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        store.put(io.BytesIO(b"model"))


def test_everything_is_on_disk_before_put_returns(store, monkeypatch):
    """The file, the folder that names it, and the folder above when that one is new: a power cut loses nothing."""
    synced = []
    real = os.fsync

    def note(handle):
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()) if sys.platform == "linux" else handle)
        real(handle)

    monkeypatch.setattr(store_module.os, "fsync", note)
    digest, _ = store.put(io.BytesIO(b"model"))
    assert len(synced) == 3
    if sys.platform == "linux":
        assert synced[0].startswith(str(store._incoming))
        assert set(synced[1:]) == {str(store.path(digest).parent), str(store._objects)}


def damage(store, digest, change):
    path = store.path(digest)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: bytes(data[:-1]), id="cut"),
        pytest.param(lambda data: bytes(data) + b"x", id="grown"),
        pytest.param(lambda data: bytes([data[0] ^ 1]) + bytes(data[1:]), id="bit-flipped"),
        pytest.param(lambda data: b"", id="emptied"),
    ],
)
@pytest.mark.parametrize("size", [10, 2 * CHUNK + 10])
def test_a_damaged_object_never_comes_out_whole(store, tmp_path, change, size):
    data = os.urandom(size)
    digest, _ = store.put(io.BytesIO(data))
    damage(store, digest, change)
    given_out = []
    with pytest.raises(Unavailable, match="damaged") as caught:
        given_out.extend(store.chunks(digest))
    assert digest in str(caught.value)
    assert sum(map(len, given_out)) < max(1, store.path(digest).stat().st_size)
    with pytest.raises(Unavailable):
        store.read(digest, limit=10 * CHUNK)
    with pytest.raises(Unavailable):
        store.copy_to(digest, tmp_path / "copy")


def test_a_copy_is_the_object(store, tmp_path):
    digest, _ = store.put(io.BytesIO(b"model"))
    store.copy_to(digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"model"


def test_what_is_not_there_is_said_so(store):
    digest = digests.of_bytes(b"never put")
    assert not store.has(digest)
    for act in (lambda: store.size(digest), lambda: store.open(digest), lambda: store.read(digest, limit=1)):
        with pytest.raises(NotFound, match=digest):
            act()


def test_read_refuses_what_is_larger_than_expected(store):
    digest, _ = store.put(io.BytesIO(b"x" * 100))
    with pytest.raises(TooLarge, match="100"):
        store.read(digest, limit=99)


def test_the_sweep_takes_abandoned_uploads_only(store):
    digest, _ = store.put(io.BytesIO(b"model"))
    old, young = store._incoming / "old", store._incoming / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(store.path(digest), (long_ago, long_ago))
    assert store.sweep() == 1
    assert young.exists()
    assert not old.exists()
    assert store.has(digest)
    assert store.sweep(older_than=-1) == 1


def test_two_sweeps_at_once_do_not_stumble(store):
    for number in range(50):
        (store._incoming / str(number)).write_bytes(b"half")
    answers = at_once(*[lambda: store.sweep(older_than=-1)] * 4)
    assert sum(answers) == 50


def test_an_upload_under_way_survives_a_restart_of_another_process(store, tmp_path):
    """Opening the store again, as a second worker does, touches nothing."""
    arrived, go_on = threading.Event(), threading.Event()

    class Slow:
        pieces = iter([b"first ", b"second"])

        def read(self, size, /):
            piece = next(self.pieces, b"")
            if piece == b"second":
                arrived.set()
                go_on.wait(10)
            return piece

    def restart():
        arrived.wait(10)
        LocalStore(tmp_path / "store").sweep()
        go_on.set()

    answers = at_once(lambda: store.put(Slow()), restart)
    assert answers[0] == (digests.of_bytes(b"first second"), 12)


@settings(max_examples=30)
@given(pieces=st.lists(st.binary(min_size=1, max_size=3000), max_size=8))
def test_the_digest_does_not_depend_on_how_the_bytes_arrive(tmp_path_factory, pieces):
    class Pieces:
        def __init__(self):
            self.left = list(pieces)

        def read(self, size, /):
            return self.left.pop(0) if self.left else b""

    store = LocalStore(tmp_path_factory.mktemp("store"))
    assert store.put(Pieces()) == (digests.of_bytes(b"".join(pieces)), sum(map(len, pieces)))
