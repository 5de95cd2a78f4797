"""The same inputs give the same image wherever, whenever and as whomever it is baked; a difference is named."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders import base as bases
from builders import plan, rebuild
from builders.jobs import JobFailed
from builders.layers import LayerStore
from builders.platform import Platform
from formats import canonical, keys, lock, manifest
from formats import digest as digests
from formats.artifacts import File
from formats.signature import Signature
from registry.rebuilds import Difference
from registry.settings import Settings
from registry.store import LocalStore
from tests.builders.wheelhouse import Wheelhouse, make_wheel
from tools import reproduce

SIGNATURE = {
    "layout": "text",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1], "nullable": False}],
    "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}],
}
MODULE = "NAMES = frozenset({'a', 'b', 'c', 'd'})\n\ndef f(x):\n    'Said.'\n    assert x\n    return x in NAMES\n"


@dataclass
class Baked:
    """A small image of the host, and what it is made of."""

    platform: Platform
    sealed: bytes
    released: rebuild.Released
    key: Path

    @property
    def document(self):
        return manifest.open_sealed(self.sealed, None)[0]

    def again(self, folder):
        """Bake it with a store of layers that is empty."""
        fresh = replace(self.platform, layers=LayerStore(folder))
        return rebuild.assemble(self.sealed, fresh, "test")


@pytest.fixture(scope="module")
def baked(tmp_path_factory) -> Baked:
    tmp_path = tmp_path_factory.mktemp("baked")
    store = LocalStore(tmp_path / "data/store")
    settings = Settings(data_dir=tmp_path / "data")
    platform = Platform(bases.host_base(), None, "", LayerStore(tmp_path / "data/layers"), store, settings)
    house = Wheelhouse().add("small", make_wheel("small", "1.0", {"small/__init__.py": MODULE, "small/b.py": "x = 1"}))
    locked = house.lock(platform.base.target)
    answers = {"rows": [{"text": "x"}], "answers": {"predict": ["y"]}, "columns": ["text"]}
    contents = {"model.joblib": b"\x80model" * 1000, "allow.json": b"{}", "signature.json": canonical.dumps(SIGNATURE)}
    contents |= {"sealed.json": canonical.dumps(answers)}
    platform.keep([*house.blobs.values(), canonical.dumps(locked.to_dict()), *contents.values()])
    site = f"opt/countersign/envs/{lock.environment_id(locked.digest)}"
    app, app_files = platform.app_layer("test")
    document = manifest.Manifest(
        bundle="payments/voice",
        target=platform.base.target,
        base=platform.base.digest,
        runtime=manifest.Runtime(
            locked.digest, plan.RUNTIME_PATH, platform.site_layer(locked, plan.RUNTIME_PATH, "test").diff_id
        ),
        app=manifest.App(plan.APP_PATH, app_files),
        environments=(
            manifest.Environment(
                lock.environment_id(locked.digest),
                locked.digest,
                site,
                platform.site_layer(locked, site, "test").diff_id,
            ),
        ),
        models=(
            manifest.Model(
                ref="payments/voice:1",
                model="payments/voice",
                number=1,
                release_digest=digests.of_bytes(b"release"),
                environment=lock.environment_id(locked.digest),
                path="opt/countersign/models/payments--voice-1",
                format="joblib",
                artifact="model.joblib",
                files=tuple(File(name, digests.of_bytes(data), len(data)) for name, data in sorted(contents.items())),
                signature=Signature.from_dict(SIGNATURE),
            ),
        ),
        routes=(manifest.Route("voice", (manifest.Member("payments/voice:1", 100, (0, 100)),)),),
    )
    sealed = manifest.seal(document, keys.generate(tmp_path / "key.pem"))
    first = rebuild.assemble(sealed, platform, "test")
    assert app.diff_id in {part.layer.diff_id for part in first.parts}
    released = rebuild.Released(first.image_digest, sealed, tuple(rebuild.listed(first)))
    return Baked(platform, sealed, released, tmp_path / "key.pem")


@pytest.mark.long
def test_two_clean_copies_in_different_surroundings_bake_the_same_image(baked, folder_for_everybody):
    """Folder, user, umask, time zone, locale, clock, hash seed, optimisation and pip: what ``make reproduce`` shows."""
    wanted = {"COUNTERSIGN_ISOLATION": "process"}
    answers = [
        reproduce.rebuild(baked.sealed, baked.platform.store, folder_for_everybody, where, wanted)
        for where in reproduce.surroundings()
    ]
    assert [answer["image_digest"] for answer in answers] == [baked.released.digest] * 2, reproduce.first_difference(
        *answers
    )


@pytest.fixture
def folder_for_everybody():
    """One that another user can enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="countersign-reproduce-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def again(baked, tmp_path_factory):
    """The folder of a second bake, and its plan."""
    folder = tmp_path_factory.mktemp("again")
    return folder, baked.again(folder)


def test_a_rebuild_takes_nothing_from_what_was_made_before(baked, again):
    folder, built = again
    assert rebuild.compare(baked.released, built) is None
    assert {part.layer.diff_id for part in built.parts} == {
        f"sha256:{path.name}" for path in (folder / "layers").iterdir()
    }


@pytest.mark.parametrize(
    ("role", "place"), [("environment", 0), ("runtime", 1), ("app", 2), ("model", 3), ("manifest", 4)]
)
def test_the_first_layer_that_differs_is_named(baked, again, role, place):
    layers = list(baked.released.layers)
    recorded = digests.of_bytes(b"something else")
    layers[place] = (role, layers[place][1], recorded)
    released = replace(baked.released, digest=digests.of_bytes(b"other"), layers=tuple(layers))
    found = rebuild.listed(again[1])[place]
    assert rebuild.compare(released, again[1]) == Difference(role, found[1], recorded, found[2])


def test_a_difference_outside_the_layers_is_the_configuration(baked, again):
    released = replace(baked.released, digest=digests.of_bytes(b"other"))
    assert rebuild.compare(released, again[1]).role == "config"


def test_another_base_is_refused_before_anything_is_made(baked, tmp_path):
    other = replace(baked.platform, base=replace(baked.platform.base, digest=digests.of_bytes(b"base")))
    with pytest.raises(JobFailed, match="stands on host") as caught:
        rebuild.assemble(baked.sealed, replace(other, layers=LayerStore(tmp_path / "empty")), "test")
    assert caught.value.code == "other-base"


@pytest.mark.parametrize("what", ["lock", "wheel", "module", "model"])
def test_an_input_that_is_gone_is_said(baked, tmp_path, what):
    document = baked.document
    store = baked.platform.store
    locked = canonical.loads(store.read(document.runtime.lock, limit=1 << 20))
    digest = {
        "lock": document.runtime.lock,
        "wheel": locked["wheels"][0]["sha256"],
        "module": next(file.sha256 for file in document.app.files if file.path == "start.py"),
        "model": document.models[0].files[1].sha256,
    }[what]
    store.path(digest).rename(tmp_path / "aside")
    try:
        with pytest.raises(JobFailed, match=digest) as caught:
            baked.again(tmp_path / "empty")
    finally:
        (tmp_path / "aside").rename(store.path(digest))
    assert (caught.value.code, bool(caught.value.hint)) == ("input-missing", True)


def test_the_layers_of_a_rebuild_can_take_the_place_of_freed_ones(baked, again):
    folder, built = again
    freed = built.parts[0].layer.diff_id
    baked.platform.layers.remove(freed)
    for _ in range(2):
        baked.platform.layers.adopt(LayerStore(folder), freed)
        with baked.platform.layers.open(freed) as source:
            assert digests.of_stream(source)[0] == freed


def test_the_surroundings_differ_in_everything():
    one, other = reproduce.surroundings()
    assert one.umask != other.umask
    assert {"TZ", "LANG", "PYTHONHASHSEED"} <= {
        name for name in one.environ if other.environ[name] != one.environ[name]
    }
    assert bool(other.user) or other.notes
