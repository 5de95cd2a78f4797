"""Before anything runs: is this what was sealed? Checks the manifest's seal and hashes every file of models and our own code."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from formats import digest, manifest
from formats.artifacts import File
from formats.lock import Target
from formats.manifest import Manifest
from serving.errors import Refusal

MANIFEST = "opt/countersign/manifest.dsse.json"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checked image. ``origin_checked``: the signer is the one that a setting from outside the image names."""

    root: Path
    manifest: Manifest
    fingerprint: str
    origin_checked: bool
    files: int
    size: int


def verify(root: Path, expected_fingerprint: str | None) -> Sealed:
    """Check everything under ``root`` that the manifest names by its digest.

    Library layers are pinned by the digest of their tar (`diff_id`), which cannot be recomputed from an unpacked tree:
    that is for whoever has the archive.

    :raises Refusal: the first thing that is not as sealed.
    """
    sealed, fingerprint = _open(root / MANIFEST, expected_fingerprint)
    _check_target(sealed.target)
    folders = [(sealed.app.path, sealed.app.files), *((model.path, model.files) for model in sealed.models)]
    for path, files in folders:
        _check_folder(root / path, files)
    every = [file for _, files in folders for file in files]
    return Sealed(
        root, sealed, fingerprint, expected_fingerprint is not None, len(every), sum(file.size for file in every)
    )


def _open(path: Path, fingerprint: str | None) -> tuple[Manifest, str]:
    try:
        return manifest.open_sealed(path.read_bytes(), fingerprint)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}: an image without its sealed manifest does not run") from None
    except (manifest.BadSeal, manifest.ManifestError) as error:
        raise Refusal(f"{path}: {error}") from None


def _check_target(target: Target) -> None:
    host = Target.host()
    if (target.os, target.arch, target.python) != (host.os, host.arch, host.python):
        raise Refusal(f"this image is for {target}, but this is {host}: use the image of the right target")


def _check_folder(folder: Path, files: Iterable[File]) -> None:
    """Every file of ``files`` as sealed, and no other in ``folder``."""
    expected = {file.path: file for file in files}
    found = set()
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        file = expected.get(name)
        if file is None:
            raise Refusal(f"{path} is not in the sealed manifest: something was added to the image")
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Refusal(f"{path} is no plain file, as the sealed manifest says it is")
        _check_file(path, file)
        found.add(name)
    missing = sorted(expected.keys() - found)
    if missing:
        raise Refusal(f"{folder / missing[0]} is missing, although the sealed manifest names it")


def _check_file(path: Path, file: File) -> None:
    try:
        found, size = digest.of_file(path)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}: it cannot be compared with the sealed manifest") from None
    if (found, size) != (file.sha256, file.size):
        raise Refusal(f"{path} was changed: it is {found} ({size} bytes), sealed was {file.sha256} ({file.size} bytes)")


def _walk(folder: Path) -> Iterator[Path]:
    """Everything in ``folder`` that is not a plain folder, in order; links are not followed."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in links)
        for name in sorted([*files, *links]):
            yield Path(parent) / name
