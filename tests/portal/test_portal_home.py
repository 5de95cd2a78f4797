"""The first screen of every role: what waits, what is under way, and what to do when nothing does."""

from collections.abc import Callable

import pytest

from portal import home
from registry import waiting
from registry.orm.catalog import Stage
from tests import factories
from tests.factories import World
from tests.portal.conftest import Browser

Visit = Callable[[str], Browser]


def test_a_reviewer_is_led_to_what_waits_longest(world: World, visit: Visit) -> None:
    with world.write() as session:
        first = factories.request_in_review(session, world)
    with world.write() as session:
        factories.request_in_review(session, world)
    page = visit("cora").get("/").text
    assert "2 things wait for you" in page
    assert f'href="/reviews/{first.id}">Open the one that waits longest' in page
    assert '<span class="count" title="2 reviews wait for you">2</span>' in page


def test_a_scientist_sees_apart_what_needs_them(world: World, visit: Visit) -> None:
    with world.write() as session:
        factories.failed_version(session, world)
    with world.write() as session:
        factories.request_in_review(session, world)
    page = visit("ana").get("/").text
    assert "1 thing waits for you" in page
    before, after = page.split("Under way, without you")
    assert "/models/payments/voice/versions/1" in before
    assert "/models/payments/voice/versions/2" in after


def test_stages_that_need_nobody_say_so_in_the_words_the_page_looks_for() -> None:
    quiet = {stage for stage, (_, words) in waiting._STANDS.items() if words.startswith(home.UNDER_WAY)}
    assert quiet == {Stage.CHECKING, Stage.IN_REVIEW}


@pytest.mark.parametrize(
    ("username", "words"),
    [
        ("ana", "Push your first version"),
        ("cora", "You are up to date"),
        ("vic", "You are up to date"),
        ("kim", "Find a model that is approved for what you do"),
        ("aud", "Everything is on record"),
        ("ops", "Nothing is broken"),
        ("root", "Nothing is broken"),
        ("nil", "You have no role yet"),
    ],
)
def test_the_empty_state_says_the_next_act(world: World, visit: Visit, username: str, words: str) -> None:
    page = visit(username).get("/").text
    assert words in page
    assert ("python -m builders" in page) == (username in ("ops", "root"))
    assert ("Latest approved" in page) == (username != "nil")
