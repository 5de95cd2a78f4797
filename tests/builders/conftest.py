"""What the builders' tests share: a layer store, small wheels, the engine and the base."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders import base as bases
from builders import engine as engines
from builders.containers import EngineError
from builders.engine import Engine
from builders.layers import LayerStore
from builders.plan import Base
from tests.builders.wheelhouse import Wheelhouse, make_wheel

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def layer_store(tmp_path) -> LayerStore:
    return LayerStore(tmp_path / "layers")


@pytest.fixture
def wheelhouse() -> Wheelhouse:
    """One small package: a package with data, an extension-like file, a script, and a module that does not compile."""
    files = {
        "small/__init__.py": "VALUES = frozenset({'a', 'b', 'c', 'd'})\n\ndef where():\n    return where.__code__.co_filename\n",
        "small/broken.py": "print 'two'\n",
        "small/data.json": "{}",
        "small/_native.so": b"\x7fELF",
        "small-1.0.data/platlib/small/extra.py": "EXTRA = 1\n",
        "small-1.0.data/scripts/small": "#!python\n",
        "small-1.0.data/headers/small.h": "",
        "bin/small": "#!/usr/bin/python\n",
    }
    return Wheelhouse().add("small", make_wheel("small", "1.0", files, executable="small/_native.so"))


def missing(what: str) -> None:
    """Skip, or fail where everything is said to be there."""
    if os.environ.get("COUNTERSIGN_TEST_REQUIRE") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        found = engines.connect()
    except EngineError as error:
        missing(f"{error} {error.hint}")
    yield found
    found.close()


@pytest.fixture(scope="session")
def base_archive() -> str:
    setting = os.environ.get("COUNTERSIGN_BASE_IMAGE") or str(CHECKOUT / "var/base/base.oci.tar")
    if "@" not in setting and not Path(setting).is_file():
        missing(f"{setting} does not exist; make it with: make base-image")
    return setting


@pytest.fixture(scope="session")
def base_store(tmp_path_factory) -> LayerStore:
    return LayerStore(tmp_path_factory.mktemp("base-layers"))


@pytest.fixture(scope="session")
def base(engine, base_archive, base_store) -> Base:
    try:
        return bases.find_base(base_archive, engine=engine, store=base_store)
    except bases.BaseUnavailable as error:
        missing(f"{error} {error.hint}")
        raise


@pytest.fixture
def other_surroundings(tmp_path, monkeypatch) -> Iterator[Callable[[], None]]:
    """Changes what must not matter: umask, time zone, working folder, hash seed of children."""
    before = os.umask(0o022)
    os.umask(before)

    def change() -> None:
        os.umask(0o077)
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        monkeypatch.setenv("PYTHONHASHSEED", "77")
        monkeypatch.setenv("LC_ALL", "C")
        monkeypatch.chdir(tmp_path)

    yield change
    os.umask(before)
