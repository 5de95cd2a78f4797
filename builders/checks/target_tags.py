"""Which wheels fit a target, and how uv calls that target."""

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from formats.lock import Target

T = TypeVar("T")

# The glibc versions uv knows a platform name for; a wheel for an older one runs on a newer one.
_UV_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
_OLDEST_ELSEWHERE = 17
_MUSL = (2, 1, 0)


class UnknownTarget(Exception):
    """No wheels are known for this kind of machine."""


def tags(target: Target) -> list[Tag]:
    """Every tag that a wheel for ``target`` may have, best first.

    :raises UnknownTarget: neither Linux with glibc or musl, nor macOS.
    """
    version = _python(target)
    platforms = list(_platforms(target))
    interpreter = f"cp{version[0]}{version[1]}"
    return [
        *cpython_tags(version, abis=[interpreter], platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    ]


def best(target: Target, candidates: Iterable[tuple[str, T]]) -> T | None:
    """Of (file name, thing) the thing whose wheel fits ``target`` best, None when none fits.

    Between builds of the same tag the higher build number wins, then the name, so that the choice does not depend on order.
    """
    ranks = {tag: rank for rank, tag in enumerate(tags(target))}
    fitting = []
    for filename, thing in candidates:
        _, _, build, wheel_tags = parse_wheel_filename(filename)
        found = [ranks[tag] for tag in wheel_tags if tag in ranks]
        if found:
            fitting.append(((-min(found), build, filename), thing))
    return max(fitting, key=lambda item: item[0])[1] if fitting else None


def uv_platform(target: Target) -> str:
    """The name of ``target`` for `uv --python-platform`. Errors as :func:`tags`."""
    if target.os == "macos":
        return f"{target.arch}-apple-darwin"
    glibc = _glibc(target)
    if glibc is None:
        return f"{target.arch}-unknown-linux-musl"
    fitting = [minor for minor in _UV_GLIBC if minor <= glibc]
    if not fitting:
        raise UnknownTarget(f"{target}: wheels are made for glibc 2.17 and newer")
    return f"{target.arch}-manylinux_2_{max(fitting)}"


def _platforms(target: Target) -> Iterator[str]:
    if target.os == "macos":
        release = re.fullmatch(r"macos-(\d+)(?:\.(\d+))?.*", target.libc)
        if release is None:
            raise UnknownTarget(f"{target}: the macOS release is not known")
        arch = "arm64" if target.arch == "aarch64" else target.arch
        yield from mac_platforms((int(release[1]), int(release[2] or 0)), arch)
        return
    glibc = _glibc(target)
    if glibc is None:
        yield from (f"musllinux_1_{minor}_{target.arch}" for minor in _MUSL)
    else:
        for minor in range(glibc, _OLDEST_GLIBC.get(target.arch, _OLDEST_ELSEWHERE) - 1, -1):
            yield f"manylinux_2_{minor}_{target.arch}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{target.arch}"
    yield f"linux_{target.arch}"


def _glibc(target: Target) -> int | None:
    """The minor version of glibc 2, None for musl."""
    if target.libc.startswith("musl"):
        return None
    version = re.fullmatch(r"glibc-2\.(\d+).*", target.libc)
    if target.os != "linux" or version is None:
        raise UnknownTarget(f"{target}: the C library is not known")
    return int(version[1])


def _python(target: Target) -> tuple[int, int]:
    major, minor = target.python.split(".")
    return int(major), int(minor)
