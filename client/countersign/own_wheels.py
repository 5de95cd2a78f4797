"""Wheels of code that a model brings: named with `--wheel`, declared in `own-code.json`, judged before the first byte."""

import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from countersign.errors import Unusable
from countersign.formats import canonical, own_code
from countersign.formats import digest as digests
from countersign.formats.own_code import BadWheel, Declared, OwnWheel

_ON_THE_INDEX = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9A-Za-z.!+_]+)@(sha256:[0-9a-f]{64})")
_HINT = "Name a wheel as riskfeatures-1.0-py3-none-any.whl, or one of your index as riskfeatures==1.0@sha256:<64 hex digits>."


def collect(given: Iterable[str | Path]) -> dict[str, Path | bytes]:
    """The files of a version for ``given`` wheels: each a file here, or `name==version@sha256:...` of the package index.

    :raises Unusable: neither, a project twice, or too many.
    """
    files: dict[str, Path | bytes] = {}
    declared: dict[str, Declared] = {}
    for item in given:
        path = Path(item)
        if found := _ON_THE_INDEX.fullmatch(str(item)):
            wheel = Declared(re.sub(r"[-_.]+", "-", found[1]).lower(), found[2], found[3])
        elif path.is_file():
            try:
                wheel = Declared(*own_code.split(path.name), digests.of_file(path)[0])
            except BadWheel as error:
                raise Unusable(str(error), hint=error.hint) from None
            files[own_code.WHEELS + path.name] = path
        else:
            raise Unusable(f"{item} is neither a file nor a wheel of the index", hint=_HINT)
        if wheel.name in declared:
            raise Unusable(f"{wheel.name} is given twice", hint="Bring one wheel of each package.")
        declared[wheel.name] = wheel
    if len(declared) > own_code.MOST_WHEELS:
        raise Unusable(
            f"{len(declared)} wheels are given, {own_code.MOST_WHEELS} are allowed", hint="Make one package of some."
        )
    if declared:
        files[own_code.FILE] = canonical.dumps(own_code.declaration(declared.values()))
    return files


def declared_in(files: Mapping[str, Path | bytes]) -> tuple[Declared, ...]:
    """The wheels that a collected push declares."""
    document = files.get(own_code.FILE)
    return own_code.parse(canonical.loads(document)) if isinstance(document, bytes) else ()


def packages(files: Mapping[str, Path | bytes]) -> set[str]:
    """Top-level names of what the wheels of a collected push hold; nothing of one that cannot be read."""
    found: set[str] = set()
    for path, content in files.items():
        if path.startswith(own_code.WHEELS) and isinstance(content, Path):
            with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(content) as archive:
                found |= {name.partition("/")[0].removesuffix(".py") for name in archive.namelist()}
    return found


def judge(path: Path, reserved: Collection[str]) -> OwnWheel:
    """Judge a wheel by its files, as the server will.

    :param reserved: top-level names of libraries the model runs with.
    :raises BadWheel: it may not be brought.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = [item for item in archive.infolist() if not item.is_dir()]
            names = [item.filename for item in listed]
            if len(set(names)) != len(names):
                raise BadWheel("wheel-malformed", f"{path.name} holds a file twice")
            size = sum(item.file_size for item in listed)
            if (
                size > own_code.MOST_BYTES
                or path.stat().st_size > own_code.MOST_BYTES
                or len(listed) > own_code.MOST_FILES
            ):
                raise BadWheel(
                    "wheel-too-large",
                    f"{path.name} unpacks to {size:,} bytes in {len(listed):,} files; {own_code.MOST_BYTES:,} bytes and "
                    f"{own_code.MOST_FILES:,} files are allowed",
                    "Bring only what prediction needs.",
                )
            members = {name: archive.read(name) for name in names}
    # What zipfile raises of damaged, cut, encrypted and unknown archives.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BadWheel("wheel-malformed", f"{path.name} cannot be read as a wheel: {error}") from None
    return own_code.judge(path.name, members, reserved=reserved)
