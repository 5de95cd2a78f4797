"""What the tests of the catalogue's pages share."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
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
    body = re.sub(r"<(svg|script|style)\b.*?</\1>", " ", body, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body))).strip()


class _Live(HTMLParser):
    """Collects what a browser would run or load of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        foreign = tag in ("script", "link") and not (values.get("src") or values.get("href") or "").startswith(
            "/static/"
        )
        address = (values.get("href") or values.get("action") or "").strip().lower()
        if (
            tag in ("img", "iframe", "object", "embed", "style", "base")
            or foreign
            or address.startswith(("javascript:", "data:"))
        ):
            self.found.append(f"<{tag}>")
        self.found += [name for name in values if name.startswith("on") or name == "style"]


def live(text: str) -> list[str]:
    """Tags and attributes of a page that would do something: none, whatever was uploaded."""
    parser = _Live()
    parser.feed(text)
    return parser.found


def kept_fields(text: str) -> dict[str, str]:
    """What the sign-in page carries along of a form whose session ended."""
    found = re.findall(r'<textarea name="([^"]+)" hidden>\n?(.*?)</textarea>', text, re.DOTALL)
    return {name: html.unescape(value) for name, value in found}


def objects(folder: Path) -> set[str]:
    """Digests in the store, finished or under way."""
    return {path.name for part in ("objects", "incoming") for path in (folder / part).rglob("*") if path.is_file()}
