"""Image archives: everything is recomputed, and whatever does not fit is refused."""

import gzip
import io
import json
import tarfile

import pytest

from formats import digest, oci
from formats.oci import BadArchive


def layer(name, content):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class Archive:
    """A small image archive, built in the open so that a test can break any part of it."""

    def __init__(self, *, compress=False):
        self.members = []
        self.layers = [layer("etc/base", b"base"), layer("opt/app", b"app" * 1000)]
        self.media_type = oci.GZIP_TYPE if compress else oci.TAR_TYPE
        self.blobs = [gzip.compress(data, mtime=0) if compress else data for data in self.layers]
        self.config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"User": "10001", "Labels": {"org.example.bundle": "payments/voice"}},
            "rootfs": {"type": "layers", "diff_ids": [digest.of_bytes(data) for data in self.layers]},
        }
        self.extra_descriptors = []
        self.docker = True

    def descriptor(self, media_type, data):
        return {"mediaType": media_type, "digest": digest.of_bytes(data), "size": len(data)}

    def documents(self):
        config = json.dumps(self.config).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": oci.MANIFEST_TYPE,
                "config": self.descriptor(oci.CONFIG_TYPE, config),
                "layers": [self.descriptor(self.media_type, blob) for blob in self.blobs],
            }
        ).encode()
        index = {
            "schemaVersion": 2,
            "mediaType": oci.INDEX_TYPE,
            "manifests": [self.descriptor(oci.MANIFEST_TYPE, manifest), *self.extra_descriptors],
        }
        files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
        if self.docker:
            names = ["blobs/sha256/" + digest.of_bytes(blob)[7:] for blob in (config, *self.blobs)]
            named = [{"Config": names[0], "RepoTags": None, "Layers": names[1:]}]
            files["manifest.json"] = json.dumps(named).encode()
        for blob in (config, manifest, *self.blobs):
            files["blobs/sha256/" + digest.of_bytes(blob)[7:]] = blob
        return files, digest.of_bytes(config), digest.of_bytes(manifest)

    def write(self, path, change=None):
        files, _, _ = self.documents()
        if change is not None:
            change(files)
        return write_tar(path, files.items())


def write_tar(path, files):
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("blobs/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.tar"


@pytest.mark.parametrize("compress", [False, True])
def test_a_good_archive_is_read(path, compress):
    archive = Archive(compress=compress)
    _, config_digest, manifest_digest = archive.documents()
    image = oci.read(archive.write(path))
    assert (image.manifest_digest, image.config_digest) == (manifest_digest, config_digest)
    assert [item.diff_id for item in image.layers] == archive.config["rootfs"]["diff_ids"]
    assert [item.digest for item in image.layers] == [digest.of_bytes(blob) for blob in archive.blobs]
    assert [item.size for item in image.layers] == [len(blob) for blob in archive.blobs]
    assert image.labels == {"org.example.bundle": "payments/voice"}
    assert image.config["config"]["User"] == "10001"


def test_an_archive_without_a_docker_manifest_or_labels_is_read(path):
    archive = Archive()
    archive.docker = False
    for settings in ({}, {"config": None}, {"config": {}}, {"config": {"Labels": None}}):
        archive.config.pop("config", None)
        archive.config.update(settings)
        assert oci.read(archive.write(path)).labels == {}
    archive.config["config"] = {"Labels": {"empty": ""}}
    assert oci.read(archive.write(path)).labels == {"empty": ""}


def test_a_label_that_is_no_text_is_refused(path):
    archive = Archive()
    archive.config["config"]["Labels"]["count"] = 5
    with pytest.raises(BadArchive, match=r"config\.Labels\.count: expected text"):
        oci.read(archive.write(path))


def blob_name(files, archive, position):
    return "blobs/sha256/" + digest.of_bytes(archive.blobs[position])[7:]


def test_every_changed_blob_is_noticed(path):
    files, _, _ = Archive().documents()
    for name in [name for name in files if name.startswith("blobs/")]:

        def flip(found, name=name):
            found[name] = found[name][:-1] + bytes([found[name][-1] ^ 1])

        with pytest.raises(BadArchive, match="was changed or damaged"):
            oci.read(Archive().write(path, flip))


def test_a_wrong_size_is_refused(path):
    archive = Archive()

    def lie(files):
        index = json.loads(files["index.json"])
        index["manifests"][0]["size"] += 1
        files["index.json"] = json.dumps(index).encode()

    with pytest.raises(BadArchive, match=r"manifests\[0\]: blob sha256:.* bytes long, stated are"):
        oci.read(archive.write(path, lie))


def test_a_missing_blob_is_refused(path):
    archive = Archive()
    with pytest.raises(BadArchive, match="is missing: the archive is incomplete"):
        oci.read(archive.write(path, lambda files: files.pop(blob_name(files, archive, 1))))


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
def test_a_missing_document_is_refused(path, name):
    with pytest.raises(BadArchive, match=f"{name} is missing"):
        oci.read(Archive().write(path, lambda files: files.pop(name)))


def test_a_layer_that_unpacks_to_something_else_is_refused(path):
    archive = Archive(compress=True)
    archive.config["rootfs"]["diff_ids"][1] = digest.of_bytes(b"something else")
    with pytest.raises(BadArchive, match="the config states"):
        oci.read(archive.write(path))


def test_as_many_layers_as_diff_ids(path):
    archive = Archive()
    archive.config["rootfs"]["diff_ids"].pop()
    with pytest.raises(BadArchive, match="lists 2 layers, the config 1"):
        oci.read(archive.write(path))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda blob: blob[:-9], "not whole gzip"),
        (lambda blob: blob + b"tail", "not whole gzip"),
        (lambda blob: b"no gzip at all", "not whole gzip"),
        (lambda blob: blob[:-8] + bytes(8), "not whole gzip"),
        (lambda blob: blob[:12] + b"\xff" * 8 + blob[20:], "not whole gzip"),
    ],
)
def test_a_damaged_gzip_layer_is_refused(path, spoil, words):
    archive = Archive(compress=True)
    archive.blobs[1] = spoil(archive.blobs[1])
    with pytest.raises(BadArchive, match=words):
        oci.read(archive.write(path))


def test_a_layer_of_several_gzip_members_is_one_layer(path):
    archive = Archive(compress=True)
    whole = archive.layers[1]
    archive.blobs[1] = gzip.compress(whole[:700], mtime=0) + gzip.compress(whole[700:])
    assert oci.read(archive.write(path)).layers[1].diff_id == digest.of_bytes(whole)


def test_an_unknown_layer_type_is_refused(path):
    archive = Archive()
    archive.media_type = oci.TAR_TYPE + "+zstd"
    with pytest.raises(BadArchive, match=r"layers\[0\]\.mediaType: expected one of"):
        oci.read(archive.write(path))


def test_two_images_are_refused(path):
    archive = Archive()
    archive.extra_descriptors = [archive.descriptor(oci.MANIFEST_TYPE, b"{}")]
    with pytest.raises(BadArchive, match="exactly one image, got 2"):
        oci.read(archive.write(path))


def test_a_docker_manifest_that_names_another_image_is_refused(path):
    def swap(files):
        named = json.loads(files["manifest.json"])
        named[0]["Layers"].reverse()
        files["manifest.json"] = json.dumps(named).encode()

    with pytest.raises(BadArchive, match=r"manifest\.json names another config or other layers"):
        oci.read(Archive().write(path, swap))


def test_a_name_that_appears_twice_is_refused(path):
    files, _, _ = Archive().documents()
    write_tar(path, [*files.items(), ("./index.json", b"{}")])
    with pytest.raises(BadArchive, match=r"index\.json: appears twice"):
        oci.read(path)


def test_a_link_in_the_archive_is_refused(path):
    Archive().write(path)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("blobs/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BadArchive, match="neither a plain file nor a folder"):
        oci.read(path)


def test_an_unknown_layout_version_is_refused(path):
    with pytest.raises(BadArchive, match=r"only version 1\.0\.0"):
        oci.read(Archive().write(path, lambda files: files.update({"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'})))


def test_a_huge_document_is_not_read(path):
    with pytest.raises(BadArchive, match="allowed are"):
        oci.read(Archive().write(path, lambda files: files.update({"index.json": b" " * (oci.MAX_DOCUMENT + 1)})))


@pytest.mark.parametrize("data", [b"noise" * 500, gzip.compress(b"x", mtime=0)])
def test_what_is_no_tar_is_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(BadArchive, match="not an uncompressed tar"):
        oci.read(path)


def test_a_truncated_archive_is_refused(path):
    Archive().write(path)
    data = path.read_bytes()
    for length in range(0, len(data) - 10_240, 1024):
        path.write_bytes(data[:length])
        with pytest.raises(BadArchive):
            oci.read(path)
