"""Wheels of own code made on the spot: one that may be brought, and what hostile or careless hands do to it."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from formats import digest, own_code
from registry.store import LocalStore
from tests.builders.wheelhouse import make_wheel

NAME = "riskfeatures-1.0-py3-none-any.whl"
MODULE = '''\
"""Features."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X) * 2


def halve(X):
    return np.asarray(X) / 2
'''
FILES = {"riskfeatures/__init__.py": '"""Ours."""\n', "riskfeatures/encoders.py": MODULE}


def good(files: Mapping[str, bytes | str] = FILES, *, name: str = "riskfeatures", version: str = "1.0") -> bytes:
    """A wheel that may be brought."""
    return make_wheel(name, version, files)


def members(data: bytes) -> dict[str, bytes]:
    """Path to content."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def more(path: str, content: bytes | str = "x = 1\n") -> bytes:
    """The good wheel with one more member, which RECORD lists."""
    return good({**FILES, path: content})


INFO = "riskfeatures-1.0.dist-info"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "traversal": (more("../escaped.py"), "wheel-malformed"),
    "absolute": (more("/etc/escaped.py"), "wheel-malformed"),
    "backslash": (more("riskfeatures\\escaped.py"), "wheel-malformed"),
    "case-twice": (more("riskfeatures/Encoders.py"), "wheel-malformed"),
    "native": (more("riskfeatures/_fast.cpython-311-x86_64-linux-gnu.so", b"\x7fELF\0"), "wheel-not-pure"),
    "native-by-another-name": (more("riskfeatures/fast.dat", b"\x7fELF\x02\x01\x01\0\xff"), "wheel-not-pure"),
    "pyc": (more("riskfeatures/hidden.pyc", b"\xa7\r\r\n"), "wheel-not-pure"),
    "pycache": (more("riskfeatures/__pycache__/encoders.py"), "wheel-not-pure"),
    "pth": (more("riskfeatures.pth", "import os\n"), "wheel-at-start"),
    "sitecustomize": (more("sitecustomize.py"), "wheel-at-start"),
    "usercustomize-package": (more("usercustomize/__init__.py"), "wheel-at-start"),
    "scripts": (more("riskfeatures-1.0.data/scripts/run", "#!python\n"), "wheel-at-start"),
    "data": (more("riskfeatures-1.0.data/data/etc/x.conf"), "wheel-at-start"),
    "entry-points": (more(f"{INFO}/entry_points.txt", "[console_scripts]\na = b:c\n"), "wheel-at-start"),
    "other-dist-info": (more("numpy-9.dist-info/METADATA"), "wheel-malformed"),
    "odd-in-dist-info": (more(f"{INFO}/direct_url.json", "{}"), "wheel-malformed"),
    "loose-file": (more("notes.txt"), "wheel-malformed"),
    "namespace": (more("others/module.py"), "wheel-malformed"),
    "shadows-os": (more("os.py"), "wheel-shadows"),
    "shadows-json": (more("json/__init__.py"), "wheel-shadows"),
    "shadows-numpy": (more("numpy/__init__.py"), "wheel-shadows"),
    "shadows-the-runner": (more("countersign_runner/__init__.py"), "wheel-shadows"),
    "shadows-numpy-in-capitals": (more("NumPy.py"), "wheel-shadows"),
    "not-python": (more("riskfeatures/broken.py", "def (:\n"), "wheel-malformed"),
    "nested-without-end": (more("riskfeatures/deep.py", "(" * 5000), "wheel-malformed"),
    "alphabet-on-pythons-second-line": (
        more("riskfeatures/seven.py", "# a\x0c# b\x0c# coding: unicode_escape\n# harmless\\nimport os\n"),
        "wheel-not-pure",
    ),
    "other-alphabet": (more("riskfeatures/seven.py", "# coding: utf-7\n+AGk-mport os\n"), "wheel-not-pure"),
    "not-text": (more("riskfeatures/latin.py", b"# \xe9\n"), "wheel-not-pure"),
    "bidirectional": (more("riskfeatures/turned.py", "a = '\u202e' # \u2066\n"), "wheel-not-pure"),
    "record-lacks": (make_wheel("riskfeatures", "1.0", FILES, record=b"riskfeatures/__init__.py,,\n"), "wheel-malformed"),
    "record-empty": (make_wheel("riskfeatures", "1.0", FILES, record=b""), "wheel-malformed"),
    "other-name": (make_wheel("otherfeatures", "1.0", FILES), "wheel-malformed"),
    "other-version": (make_wheel("riskfeatures", "2.0", FILES), "wheel-malformed"),
    "no-module": (good({}), "wheel-malformed"),
    "too-many-lines": (more("riskfeatures/long.py", "x = 1\n" * 60_000), "wheel-too-large"),
}  # fmt: skip
"""Label to a wheel and the code it is refused with; each is called `NAME`."""


def facts(store: LocalStore, data: bytes, filename: str = NAME) -> dict[str, Any]:
    """What the step own-code reports of a wheel that was pushed; its files are in the store."""
    held = members(data)
    wheel = own_code.judge(filename, held)
    for content in held.values():
        store.put(io.BytesIO(content))
    told = {
        **{name: list(getattr(wheel, name)) for name in ("packages", "requires", "classes", "functions")},
        "name": wheel.name,
        "version": wheel.version,
        "requires_python": wheel.requires_python,
        "files": [{**file.to_dict(), "lines": wheel.lines[file.path]} for file in wheel.files],
        "filename": filename,
        "sha256": digest.of_bytes(data),
        "size": len(data),
        "source": "push",
    }
    message = f"It brings code of its own, which runs in every prediction: {wheel.name} {wheel.version}."
    return {"wheels": [told], "notices": [{"code": "own-code", "message": message}]}
