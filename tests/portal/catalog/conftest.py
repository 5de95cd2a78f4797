"""What the tests of the catalogue's pages share."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from registry.orm.image import Build
from tests import factories
from tests.factories import MODEL, World
from tests.portal.conftest import Browser

VOICE = f"/models/{MODEL}"


@dataclass
class Scene:
    """Version 1 approved and in an image, version 2 in review."""

    digest: str
    release: str
    image: str


@pytest.fixture
def ana(visit: Callable[[str], Browser]) -> Browser:
    """A scientist of team payments."""
    return visit("ana")


@pytest.fixture
def scene(world: World) -> Scene:
    with world.write() as session:
        version = factories.approved_version(session, world)
        digest, release = version.artifact_digest, version.release_digest
    found = bake(world)
    with world.write() as session:
        factories.request_in_review(session, world)
    assert release
    return Scene(digest, release, found)


def bake(world: World) -> str:
    """Finish the newest build; returns the digest of its image."""
    with world.write() as session:
        build = session.scalars(select(Build).options(joinedload(Build.bundle)).order_by(Build.id.desc())).first()
        assert build is not None
        return factories.released_image(session, build).digest


@pytest.fixture
def private(world: World) -> str:
    """The address of a private model of team payments with one version."""
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        factories.ready_version(session, world, model="payments/secret")
    return "/models/payments/secret"


def words(text: str) -> str:
    """What a reader sees of a page, without markup and with single blanks."""
    body = text.partition("<main")[2].partition("<footer")[0]
    body = re.sub(r"<(svg|script|style)\b.*?</\1>", " ", body, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body))).strip()


def objects(folder: Path) -> set[str]:
    """Digests in the store, finished or under way."""
    return {path.name for part in ("objects", "incoming") for path in (folder / part).rglob("*") if path.is_file()}

