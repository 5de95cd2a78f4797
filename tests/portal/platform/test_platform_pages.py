"""Platform changes in the browser: proposed, signed by two people with password and code, and their wave followed."""

from datetime import timedelta

import pytest

from registry import jobs, paging, platform_changes, waves
from registry.orm.job import JobKind
from registry.orm.platform import ChangeState, MoveState
from tests import factories
from tests.portal.approvals.conftest import EVIL, filled, words
from tests.portal.conftest import code_for
from tests.portal.images.test_images_pages import bake
from tests.registry.test_registry_waves import DIFFERS, do, equal
from tests.support import nothing_changes

NAMES = ("payments/a", "payments/b")


@pytest.fixture
def offered(world):
    """Two images in front, and a platform with another numpy that a worker offers."""
    with world.write() as session:
        laid = factories.lay_platform(session)
        factories.images_in_front(session, world, *NAMES, stands_on=laid.digest)
        return factories.offer_platform(session).digest


@pytest.fixture
def proposed(world, offered):
    with world.write() as session:
        return factories.propose(session, world, factories.offer_platform(session)).id


def path_of(change_id):
    return f"/platform/changes/{change_id}"


def sign(visit, change_id, username, **overrides):
    browser = visit(username)
    path = path_of(change_id)
    return browser.post(path, data=filled(browser.get(path).text, username, **overrides))


def state(world, change_id):
    with world.read() as session:
        change = platform_changes.get(session, change_id, actor=world.ops)
        return change.state, len(change.decisions)


def test_an_operator_proposes_what_a_worker_offered(world, visit, offered):
    ops = visit("ops")
    said = words(ops.get("/platform").text)
    assert "In force" in said
    assert "Offered" in said
    path = f"/platform/changes/new?platform={offered}"
    said = words(ops.get(path).text)
    assert "numpy 2.4.1 → 2.4.2" in said
    assert "2 images in front would be moved" in said
    assert ops.submit(path, {"reason": ""}).status_code == 422
    done = ops.submit(path, {"reason": f"patched numpy {EVIL}"})
    assert done.status_code == 303
    text = ops.get(done.location).text
    assert EVIL not in text
    said = words(text)
    assert "Change the platform? Waits for signatures" in said
    assert "You cannot decide: you proposed it" in said
    again = ops.submit(path, {"reason": "once more"})
    assert again.status_code == 409
    assert "Another platform change is proposed" in words(again.text)
    assert "patched numpy" in words(visit("kim").get("/platform").text)


def test_others_propose_hold_and_withdraw_nothing(world, visit, offered, proposed):
    for name in ("ana", "cora", "vic", "kim", "aud"):
        browser = visit(name)
        assert browser.get(f"/platform/changes/new?platform={offered}").status_code == 403, name
        for act in ("withdraw", "pause", "resume"):
            assert browser.act(f"{path_of(proposed)}/{act}").status_code == 403, (name, act)
    assert visit("kim").get(f"/platform/changes/{factories.clock.new_id()}").status_code == 404
    assert visit("ops").get("/platform/changes/new?platform=sha256:0").status_code == 404


def test_two_people_sign_and_the_wave_is_followed_image_by_image(world, visit, proposed):
    vic, lea = visit("vic"), visit("lea")
    assert "A platform change is proposed, for 2 images" in words(vic.get("/").text)
    said = words(vic.get(path_of(proposed)).text)
    assert "I, Vic (vic), have read this platform change and approve it:" in said
    assert vic.post(path_of(proposed), data=filled(vic.get(path_of(proposed)).text, "vic")).status_code == 303
    assert state(world, proposed) == (ChangeState.PROPOSED, 1)
    assert "you have signed already" in words(vic.get(path_of(proposed)).text)
    assert sign(visit, proposed, "cora").status_code == 303
    assert state(world, proposed) == (ChangeState.RUNNING, 2)
    ops = visit("ops")
    assert ops.act(f"{path_of(proposed)}/pause").status_code == 303
    assert "Wave paused" in words(ops.get(path_of(proposed)).text)
    assert ops.act(f"{path_of(proposed)}/pause").status_code == 409
    assert ops.act(f"{path_of(proposed)}/resume").status_code == 303
    do(world, lambda session, move_id, _work: waves.not_equal(session, move_id, DIFFERS))
    do(world, equal)
    ana = visit("ana")
    said = words(ana.get(path_of(proposed)).text)
    assert "2 images: 1 equal, 1 not equal" in said
    assert "answers of row 1 differ The old image stays in front. Try again" in said
    assert "Try again" not in words(lea.get(path_of(proposed)).text)
    assert "payments/b" not in words(ana.get(f"{path_of(proposed)}?state=not_equal").text).partition("Images Not")[2]
    assert ana.get(f"{path_of(proposed)}?state=lost").status_code == 404
    assert "The image of payments/a answers otherwise on the new platform" in words(ana.get("/").text)
    with world.read() as session:
        change = platform_changes.get(session, proposed, actor=world.ops)
        (left,) = waves.listing(session, change, paging.Cursor(), actor=world.ana, state=MoveState.NOT_EQUAL).items
        digest = left.image.digest
    assert lea.act(f"{path_of(proposed)}/images/{digest}/retry").status_code == 403
    assert ana.act(f"{path_of(proposed)}/images/{digest}/retry").status_code == 303
    with world.write() as session:
        assert jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=[JobKind.MOVE])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"password": "wrong"}, "That is not your password"),
        ({"code": "000000"}, "code"),
        ({"reason": ""}, "Say what you relied on."),
        ({"outcome": ""}, "Press one of the buttons."),
        ({"outcome": "request_changes"}, "approved or refused"),
        ({"seen": "sha256:other"}, "You read another platform change"),
    ],
)
def test_a_wrong_form_signs_nothing_and_keeps_the_text(world, visit, proposed, overrides, says):
    answer = sign(visit, proposed, "vic", **{"reason": "I read the notes.", **overrides})
    assert answer.status_code in (401, 409, 412, 422)
    assert says.lower() in words(answer.text).lower()
    if overrides.get("reason") is None:
        assert "I read the notes." in answer.text
    assert state(world, proposed) == (ChangeState.PROPOSED, 0)


def test_pressing_twice_signs_once(world, visit, proposed):
    browser = visit("vic")
    data = filled(browser.get(path_of(proposed)).text, "vic")
    assert browser.post(path_of(proposed), data=data).status_code == 303
    with nothing_changes(world.database):
        assert browser.post(path_of(proposed), data=data).status_code == 303


def test_a_refusal_and_a_withdrawal_end_it(world, visit, proposed):
    assert sign(visit, proposed, "cora", outcome="reject").status_code == 303
    assert state(world, proposed) == (ChangeState.REFUSED, 1)
    said = words(visit("kim").get(path_of(proposed)).text)
    assert "Refused" in said
    assert "Your decision" not in said
    with world.write() as session:
        other = factories.propose(session, world, factories.offer_platform(session)).id
    assert visit("root").act(f"{path_of(other)}/withdraw").status_code == 303
    assert state(world, other) == (ChangeState.WITHDRAWN, 0)
    assert sign(visit, other, "vic", code=code_for("vic"), outcome="approve").status_code == 409


def test_what_the_image_stands_on_is_on_its_page(world, visit):
    with world.write() as session:
        laid = factories.lay_platform(session).digest
        factories.approved_version(session, world)
    digest = bake(world, platform=laid)
    assert f"Platform {laid[:13]}" in words(visit("kim").get(f"/images/{digest}").text)
