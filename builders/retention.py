"""Free the bytes of old images on this machine: layers, what was unpacked of them, and their names on the engine."""

import logging
import shutil
from dataclasses import dataclass

from builders import bake
from builders import base as bases
from builders.platform import Platform
from registry import retention
from registry.db import Database

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Freed:
    """How many images were marked now, and how many bytes of layers went."""

    images: int
    size: int


def free(database: Database, platform: Platform, *, days: int) -> Freed:
    """Mark images that are due, then remove what only freed images hold.

    Marked first and removed after: when this is cut off, the next run removes the rest. A layer that a bake needs again
    meanwhile is written again by it.
    """
    known = {platform.base.digest, *(bases.remembered(platform.layers) if platform.engine else ())}
    with database.write() as session:
        marked = len(retention.free(session, days=days, bases=known))
    with database.read() as session:
        unused = retention.layers(session, freed=True) - retention.layers(session, freed=False)
        names = [bake.tag(bundle, digest) for bundle, digest in retention.tags(session)]
    size = 0
    for diff_id in sorted(unused):
        if diff_id in platform.layers:
            size += platform.layers.get(diff_id).size
            platform.layers.remove(diff_id)
        shutil.rmtree(platform.layers.root / "trees" / diff_id.removeprefix("sha256:"), ignore_errors=True)
    if platform.engine:
        for name in names:
            platform.engine.remove_image(name)
    if marked or size:
        logger.info("freed %d images, %.1f MB of layers", marked, size / 1e6)
    return Freed(marked, size)
