"""Is a version affected: PEP 440 order, and in doubt yes."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

from packaging.version import InvalidVersion, Version


class Range(NamedTuple):
    """From ``introduced`` (``0``: from the first) until before ``fixed``, or up to and with ``last_affected``."""

    introduced: str
    fixed: str | None
    last_affected: str | None


@functools.lru_cache(maxsize=1 << 18)
def order(version: str) -> Version | None:
    """What a version is compared by: without its local part, because ``2.1.0+cpu`` is the release 2.1.0."""
    try:
        return Version(Version(version).public)
    except InvalidVersion:
        return None


def covers(ranges: Iterable[Range], version: str) -> bool:
    """Whether one of the ranges holds ``version``; a version that has no order is in none.

    A bound that has no order is left out, which makes the range wider: nothing is called clean by mistake.
    """
    wanted = order(version)
    return wanted is not None and any(_within(range_, wanted) for range_ in ranges)


def _within(range_: Range, wanted: Version) -> bool:
    begins = order(range_.introduced) if range_.introduced != "0" else None
    fixed = order(range_.fixed) if range_.fixed else None
    last = order(range_.last_affected) if range_.last_affected else None
    return (
        (begins is None or wanted >= begins) and (fixed is None or wanted < fixed) and (last is None or wanted <= last)
    )


def names(versions: Iterable[str], version: str) -> bool:
    """Whether a list of versions names ``version``, in whatever spelling (``1.0`` is ``1.0.0``)."""
    wanted = order(version)
    return any(named == version or (wanted is not None and order(named) == wanted) for named in versions)
