"""Our own layers as folders, for what runs without an engine.

Library layers are thousands of files and the same for many releases: each is unpacked once per store and linked into
every root that needs it.
"""

import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from builders import plan, tarball
from builders.layers import LayerStore
from builders.tarball import Layer, UnsafePath

_CHUNK = 1 << 20
_LIBRARIES = re.compile(rf"{plan.RUNTIME_PATH}|{plan.ROOT}/envs/[^/]+")


def unpack(layers: Iterable[Layer], store: LayerStore, root: Path) -> None:
    """Lay out an image of ours that stands on the host below the empty folder ``root``.

    :param layers: of the image, all of them ours.
    :raises UnsafePath: a member that leaves ``root``, is a link, or is there already.
    :raises LayerDamaged: a layer's bytes have another digest; nothing under ``root`` may be used then.
    """
    shared = []
    for layer in layers:
        if path := _library(layer, store):
            shared.append((path, layer))
        else:
            into(root, layer, store)
    # Links last: nothing can be unpacked through one into a shared folder.
    for path, layer in shared:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(tree(layer, store) / path, target_is_directory=True)


def _library(layer: Layer, store: LayerStore) -> str | None:
    """Return the site folder that is all a layer holds, which its first members tell: parents come first in our layers."""
    store.get(layer.diff_id)  # says so when it is missing
    with store.path(layer.diff_id).open("rb") as source, tarfile.open(fileobj=source, mode="r|") as tar:
        heads = [member.name for member in islice(tar, 5) if member.isdir()]
    return next((name for name in heads if _LIBRARIES.fullmatch(name)), None)


def tree(layer: Layer, store: LayerStore) -> Path:
    """Return the folder in the store that holds ``layer`` unpacked, whole; nobody may write to it. Errors as :func:`unpack`."""
    place = (store.root / "trees" / store.path(layer.diff_id).name).absolute()
    if not place.is_dir():
        place.parent.mkdir(exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=store.root / "incoming"))
        try:
            into(scratch, layer, store)
            scratch.chmod(0o755)
            scratch.rename(place)
        except OSError:
            if not place.is_dir():  # when it is, another worker was faster, with the same bytes
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return place


def into(root: Path, layer: Layer, store: LayerStore) -> None:
    """Unpack one layer of ours below ``root``: folders and plain files only, owned by whoever runs this.

    Errors as :func:`unpack`.
    """
    with store.open(layer.diff_id) as source:
        with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK) as tar:
            for member in tar:
                _member(tar, member, root)
        while source.read(_CHUNK):  # to the very end, where the digest is judged
            pass


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    place = root / tarball.safe_path(member.name)
    if member.isdir():
        place.mkdir(mode=0o755, exist_ok=True)
        return
    content = tar.extractfile(member) if member.isreg() else None
    try:
        if content is None:
            raise FileExistsError
        # No link can lie on the way: none was made here, and the folder was empty.
        with place.open("xb") as sink:
            shutil.copyfileobj(content, sink, _CHUNK)
    except FileExistsError as error:
        raise UnsafePath(
            f"{member.name!r} is no plain new file", hint="Unpack layers of ours only, into an empty folder."
        ) from error
    if member.mode & 0o100:
        place.chmod(0o755)
