"""Requirements become hashed wheels of the target; what stands in the way is said in words."""

import hashlib
import socket
from pathlib import Path

import pytest

from builders import resolver
from builders.checks import downloads, target_tags
from builders.resolver import Index, IndexUnreachable, Unresolvable
from formats.lock import Lock, Target

LINUX = Target("linux", "x86_64", "glibc-2.36", "3.11")
SERVING = Path(resolver.__file__).parents[1] / "serving" / "requirements.txt"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(downloads, "_BACKOFF", 0.01)


class Store:
    """Keeps what comes, as the artifact store does: checks the digest while it reads."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def keep(self, source, expected: str, size: int) -> None:
        data = b""
        while chunk := source.read(1000):
            data += chunk
        assert "sha256:" + hashlib.sha256(data).hexdigest() == expected
        assert len(data) == size
        self.blobs[expected] = data

    def has(self, digest: str) -> bool:
        return digest in self.blobs


def at(made, **options) -> Index:
    return Index(made.url, **({"attempts": 1} | options))


def test_the_closure_is_locked_with_the_wheels_of_the_target(index):
    lock = resolver.resolve(
        ["scikit-learn==1.9.1", "joblib>=1.6"],
        LINUX,
        index=at(index),
        constraints=["threadpoolctl==3.7.0", "pandas==3.1.1"],
    )
    assert [f"{wheel.name} {wheel.version}" for wheel in lock.wheels] == [
        "joblib 1.6.0",
        "numpy 2.4.6",
        "scikit-learn 1.9.1",
        "threadpoolctl 3.7.0",
    ]
    numpy = lock.wheels[1]
    assert numpy.filename == "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    assert numpy.sha256 == index.digest(numpy.filename)
    assert numpy.size == len(index.files[numpy.filename])
    assert Lock.from_dict(lock.to_dict()) == lock
    assert lock == resolver.resolve(
        ["joblib>=1.6", "scikit-learn==1.9.1"], LINUX, index=at(index), constraints=["threadpoolctl==3.7.0"]
    )


@pytest.mark.parametrize(
    ("target", "tag"),
    [
        (Target("linux", "x86_64", "glibc-2.41", "3.12"), "cp312-cp312-manylinux"),
        (Target("macos", "aarch64", "macos-14.5", "3.11"), "cp311-cp311-macosx_11_0_arm64"),
    ],
)
def test_other_targets(index, target, tag):
    (wheel,) = resolver.resolve(["numpy==2.4.6"], target, index=at(index)).wheels
    assert tag in wheel.filename


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        (["scikit-learn==9.9"], "unknown-version", "no scikit-learn 9.9"),
        (["nothing-of-that-name==1.0"], "unknown-library", "no library nothing-of-that-name"),
        (["joblib<1.6", "joblib>=1.6"], "conflict", "joblib<1.6"),
        (["old==1.0", "joblib>=1.6"], "conflict", "joblib"),
    ],
)
def test_no_solution(index, wanted, code, told):
    index.add("old", "1.0", requires=("joblib<1.5",))
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve(wanted, LINUX, index=at(index))
    (finding,) = caught.value.findings
    assert finding.code == code
    assert told in finding.message
    assert finding.hint
    assert "127.0.0.1" not in finding.message


def test_no_wheel_for_the_target(index):
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve(["numpy==2.4.6"], Target("linux", "x86_64", "glibc-2.36", "3.13"), index=at(index))
    (finding,) = caught.value.findings
    assert finding.code == "no-wheel"
    assert "numpy 2.4.6 has no wheel for linux x86_64 (glibc-2.36), Python 3.13" in finding.message
    assert "Python 3.13" in finding.hint


def test_sources_are_never_taken(index):
    index.files["sourceonly-1.0.tar.gz"] = b"not even an archive"
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve(["sourceonly==1.0"], LINUX, index=at(index))
    assert caught.value.findings[0].code == "no-wheel"


def test_an_unknown_kind_of_machine(index):
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve(["numpy"], Target("linux", "x86_64", "unknown", "3.11"), index=at(index))
    assert caught.value.findings[0].code == "unknown-target"


def test_hashes_bind_the_file(index):
    good = index.digest("joblib-1.6.0-py3-none-any.whl")
    locked = resolver.resolve(
        ["joblib==1.6.0"], LINUX, index=at(index), hashes={"joblib": frozenset({good, "sha256:" + "0" * 64})}
    )
    assert locked.wheels[0].sha256 == good
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve(
            ["joblib==1.6.0"], LINUX, index=at(index), hashes={"joblib": frozenset({"sha256:" + "0" * 64})}
        )
    assert caught.value.findings[0].code == "hash-mismatch"


def test_a_requirements_file_is_taken_as_complete(index, tmp_path):
    listed = tmp_path / "requirements.txt"
    scikit = index.digest("scikit_learn-1.9.1-py3-none-any.whl").removeprefix("sha256:")
    listed.write_text(f"scikit-learn==1.9.1 --hash=sha256:{scikit}\nwinonly==1 ; sys_platform == 'win32'\n")
    assert [wheel.name for wheel in resolver.resolve_requirements(listed, LINUX, index=at(index)).wheels] == [
        "scikit-learn"
    ]
    listed.write_text("scikit-learn==1.9.1\n-r other.txt\n")
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve_requirements(listed, LINUX, index=at(index))
    assert [finding.code for finding in caught.value.findings] == ["bad-requirement", "bad-requirement"]
    assert "without hashes" in caught.value.findings[1].message


def test_sizes_are_asked_for_when_the_index_does_not_list_them(index):
    index.with_sizes = False
    (wheel,) = resolver.resolve(["joblib==1.6.0"], LINUX, index=at(index)).wheels
    assert wheel.size == len(index.files[wheel.filename])
    assert f"HEAD /files/{wheel.filename}" in index.asked


def test_fetch_brings_what_is_missing(index):
    lock = resolver.resolve(["scikit-learn==1.9.1", "joblib==1.6.0"], LINUX, index=at(index))
    store = Store()
    store.blobs[lock.wheels[0].sha256] = b"here already"
    resolver.fetch(lock, store.keep, has=store.has, index=at(index))
    assert store.blobs.keys() == {wheel.sha256 for wheel in lock.wheels}
    assert store.blobs[lock.wheels[0].sha256] == b"here already"
    index.asked.clear()
    resolver.fetch(lock, store.keep, has=store.has, index=at(index))
    assert index.asked == []


@pytest.mark.parametrize(("failures", "cut"), [([503, 429], 0), ([], 2), ([500], 1)])
def test_a_transfer_that_breaks_off_is_begun_again(index, failures, cut):
    lock = resolver.resolve(["joblib==1.6.0"], LINUX, index=at(index))
    index.failures, index.cut = failures, cut
    store = Store()
    resolver.fetch(lock, store.keep, has=store.has, index=at(index, attempts=4))
    assert store.has(lock.wheels[0].sha256)


@pytest.mark.parametrize(("failures", "cut"), [([503, 503], 0), ([], 2), ([404], 0), ([403], 0)])
def test_an_index_that_goes_on_failing_is_unreachable(index, failures, cut):
    lock = resolver.resolve(["joblib==1.6.0"], LINUX, index=at(index))
    index.failures, index.cut = failures, cut
    store = Store()
    with pytest.raises(IndexUnreachable) as caught:
        resolver.fetch(lock, store.keep, has=store.has, index=at(index, attempts=2))
    assert "COUNTERSIGN_INDEX_URL" in caught.value.hint
    assert "127.0.0.1" not in str(caught.value)
    assert store.blobs == {}


def test_other_bytes_under_the_same_name_are_not_taken(index):
    lock = resolver.resolve(["joblib==1.6.0"], LINUX, index=at(index))
    index.files["joblib-1.6.0-py3-none-any.whl"] += b"!"
    store = Store()
    with pytest.raises(Unresolvable) as caught:
        resolver.fetch(lock, store.keep, has=store.has, index=at(index))
    assert caught.value.findings[0].code == "wheel-gone"
    assert store.blobs == {}


def test_an_error_of_the_store_is_not_taken_for_one_of_the_index(index):
    lock = resolver.resolve(["joblib==1.6.0"], LINUX, index=at(index))

    def full(_source, _expected, _size):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        resolver.fetch(lock, full, has=lambda _: False, index=at(index))


def test_nobody_listens(own_uv):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/simple"
        with pytest.raises(IndexUnreachable, match="cannot be reached"):
            resolver.resolve(["numpy==2.4.6"], LINUX, index=Index(url, attempts=1))
        with pytest.raises(IndexUnreachable, match="cannot be reached"):
            downloads.download(f"{url}/x.whl", Store().keep, "sha256:" + "0" * 64, 1, Index(url, attempts=2))


def test_the_index_of_the_settings_gets_its_credentials_and_no_other(index):
    host = index.url.removeprefix("http://")
    with_password = Index(f"http://ana:secret@{host}", attempts=1)
    lock = resolver.resolve(["joblib==1.6.0"], LINUX, index=with_password)
    store = Store()
    resolver.fetch(lock, store.keep, has=store.has, index=with_password)
    assert index.asked[-1].startswith("GET /files/joblib")
    assert index.credentials[-1] == "Basic YW5hOnNlY3JldA=="
    elsewhere = Index("http://ana:secret@localhost.invalid/simple", attempts=1)
    downloads.download(
        f"http://{host.split('/')[0]}/files/joblib-1.6.0-py3-none-any.whl",
        Store().keep,
        lock.wheels[0].sha256,
        lock.wheels[0].size,
        elsewhere,
    )
    assert index.credentials[-1] is None


def test_settings_with_secrets_do_not_reach_uv(monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_SECRET_KEY", "secret")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/process.pem")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert "COUNTERSIGN_SECRET_KEY" not in resolver._environment(Index(), LINUX)
    assert resolver._environment(Index(), LINUX)["SSL_CERT_FILE"] == "/etc/process.pem"
    assert resolver._environment(Index(ca_bundle="/etc/settings.pem"), LINUX)["SSL_CERT_FILE"] == "/etc/settings.pem"


def test_tags():
    tags = [str(tag) for tag in target_tags.tags(LINUX)]
    assert tags[0] == "cp311-cp311-manylinux_2_36_x86_64"
    assert "cp311-cp311-manylinux_2_37_x86_64" not in tags
    assert {"cp311-cp311-manylinux2014_x86_64", "cp39-abi3-manylinux1_x86_64", "py3-none-any"} <= set(tags)
    assert "cp311-cp311-manylinux_2_16_aarch64" not in [
        str(tag) for tag in target_tags.tags(Target("linux", "aarch64", "glibc-2.36", "3.11"))
    ]
    assert "cp312-cp312-musllinux_1_2_x86_64" in [
        str(tag) for tag in target_tags.tags(Target("linux", "x86_64", "musl", "3.12"))
    ]


def test_the_best_wheel_does_not_depend_on_order():
    names = [
        "x-1.0-py3-none-any.whl",
        "x-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "x-1.0-1-cp311-cp311-manylinux_2_17_x86_64.whl",
        "x-1.0-cp312-cp312-linux_x86_64.whl",
    ]
    for order in (names, names[::-1]):
        assert (
            target_tags.best(LINUX, [(name, name) for name in order]) == "x-1.0-1-cp311-cp311-manylinux_2_17_x86_64.whl"
        )
    assert target_tags.best(LINUX, [(names[3], names[3])]) is None


@pytest.mark.index
@pytest.mark.enable_socket
def test_the_real_index():
    lock = resolver.resolve(["scikit-learn==1.9.1", "joblib>=1.6", "numpy==2.4.6"], LINUX, index=Index())
    versions = {wheel.name: wheel.version for wheel in lock.wheels}
    assert versions["scikit-learn"] == "1.9.1"
    assert {"scipy", "threadpoolctl"} <= versions.keys()
    small = Lock(LINUX, tuple(wheel for wheel in lock.wheels if wheel.name == "threadpoolctl"))
    store = Store()
    resolver.fetch(small, store.keep, has=store.has, index=Index())
    assert store.has(small.wheels[0].sha256)


@pytest.mark.index
@pytest.mark.parametrize(
    "target",
    [LINUX, Target("linux", "aarch64", "glibc-2.41", "3.13"), Target("macos", "aarch64", "macos-14.5", "3.12")],
    ids=str,
)
def test_the_serving_runtime_has_wheels_for_every_target(target):
    lock = resolver.resolve_requirements(SERVING, target, index=Index())
    assert {"uvloop", "httptools", "grpcio", "numpy", "orjson"} <= {wheel.name for wheel in lock.wheels}


@pytest.mark.index
def test_what_the_real_index_does_not_have():
    with pytest.raises(Unresolvable) as caught:
        resolver.resolve(["numpy==1.21.0"], LINUX, index=Index())
    assert caught.value.findings[0].code == "no-wheel"
