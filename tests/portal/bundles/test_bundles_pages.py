"""Bundles: who sees and changes them, what is said of lines that do not fit, and baking."""

from collections.abc import Callable

import pytest
from sqlalchemy import update

from portal.bundles import forms, views
from registry import bundles, clock
from registry.errors import Invalid
from registry.orm.account import LoginSession
from registry.orm.experiment import Experiment
from registry.orm.image import MemberRole, Rebuild
from registry.routes import MemberSpec, RouteSpec
from tests import factories
from tests.factories import World
from tests.portal.approvals.conftest import EVIL, words
from tests.portal.conftest import PASSWORD, Browser, code_for, hidden_fields
from tests.portal.test_portal_ended_session import kept_fields
from tests.support import nothing_changes

DESK = "/bundles/payments/desk"


@pytest.fixture
def desk(world: World) -> str:
    """Bundle payments/desk: versions 1 (approved) and 2 (only ready) of payments/voice."""
    with world.write() as session:
        factories.approved_version(session, world)
        factories.ready_version(session, world)
        factories.bundle(session, world, factories.pinned(1, 90, bounds=(50, 100)), factories.pinned(2, 10))
    return DESK


def routes(world: World, name: str = "payments/desk") -> list[tuple[str, int | str | None, int, int, int]]:
    with world.read() as session:
        found = bundles.get(session, name, actor=world.ana)
        return [
            (m.route, m.version.number if m.version else m.follow, m.weight, m.min_weight, m.max_weight)
            for m in found.members
        ]


# ------------------------------------------------------------------------------------------------------ the lines


def test_lines_read_as_they_were_written(world, desk) -> None:
    with world.read() as session:
        text = forms.write(bundles.get(session, "payments/desk", actor=world.ana))
    assert text == "feedback  payments/voice:1  90  50-100\nfeedback  payments/voice:2  10"
    first, second = (
        MemberSpec("payments/voice", 90, number=1, bounds=(50, 100)),
        MemberSpec("payments/voice", 10, number=2),
    )
    assert forms.read(text) == [RouteSpec("feedback", [first, second])]


def test_what_is_followed_and_per_cent_signs_can_be_written() -> None:
    assert forms.read("\n a  t/m@approved 60 %\n\nb t/m@champion 100%\na t/m:2 40\n") == [
        RouteSpec("a", [MemberSpec("t/m", 60, follow="approved"), MemberSpec("t/m", 40, number=2)]),
        RouteSpec("b", [MemberSpec("t/m", 100, follow="champion")]),
    ]


def test_a_last_word_makes_a_shadow(world) -> None:
    line = "a  t/m:2  5  0-20  shadow"
    share = MemberSpec("t/m", 5, number=2, bounds=(0, 20), role=MemberRole.SHADOW)
    assert forms.read(f"{line}\na t/m@approved 100") == [
        RouteSpec("a", [share, MemberSpec("t/m", 100, follow="approved")])
    ]
    with world.write() as session:
        factories.ready_version(session, world)
        factories.ready_version(session, world)
        factories.bundle(session, world, factories.pinned(1), factories.in_shadow(factories.pinned(2, 5)))
    with world.read() as session:
        text = forms.write(bundles.get(session, "payments/desk", actor=world.ana))
    assert text.splitlines()[1] == "feedback  payments/voice:2  5  shadow"


def test_a_shadow_is_told_from_a_share(world, visit) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
        factories.approved_version(session, world)
        factories.bundle(session, world, factories.pinned(1), factories.in_shadow(factories.pinned(2, 5)))
    said = words(visit("ana").get(DESK).text)
    assert "payments/voice, version 2 Approved 5 % copied Shadow" in said
    assert "nobody gets its answers" in said
    assert "voice 2 5 %, shadow" in words(visit("ana").get("/bundles").text)


@pytest.mark.parametrize("line", [
    "feedback payments/voice:1 90 shadows", "feedback payments/voice:1 shadow 90", "feedback", "feedback payments/voice 90", "feedback payments/voice:x 90", "feedback payments/voice:1 ninety",
    "feedback payments/voice:1 90 5", "feedback payments/voice:99999999999999999999 90", "feedback a/b:1@c 5",
    "feedback payments/voice:1 -5", EVIL,
])  # fmt: skip
def test_a_line_that_does_not_fit_is_named(line: str) -> None:
    with pytest.raises(Invalid, match=r"^line 2 is not route, version, weight") as caught:
        forms.read(f"ok t/m:1 100\n{line}")
    assert caught.value.hint


# ------------------------------------------------------------------------------------------------------ the pages


@pytest.mark.parametrize("username", ["ana", "kim", "cora", "aud", "ops"])
def test_everybody_reads_and_only_its_team_and_operators_change(visit, desk, username) -> None:
    text = visit(username).get(desk).text
    said = words(text)
    assert "payments/voice, version 1 Approved 90 % 50 to 100" in said
    assert "payments/voice, version 2 Ready to submit 10 %" in said
    assert "Not yet." in said
    assert "Route feedback waits for payments/voice:2, which is ready." in said
    assert ("Change the routes" in said) is (username in ("ana", "ops"))


def test_the_list_names_routes_and_pages(world, visit) -> None:
    with world.write() as session:
        factories.ready_version(session, world)
        for number in range(views.PAGE + 1):
            factories.bundle(session, world, factories.pinned(1), name=f"payments/desk-{number}")
    browser = visit("kim")
    text = browser.get("/bundles").text
    assert "feedback: voice 1 100 %" in words(text)
    assert 'rel="next"' in text
    assert "New bundle" not in text


def test_the_empty_list_says_the_next_act(visit) -> None:
    said = words(visit("ana").get("/bundles").text)
    assert "No bundle yet" in said
    assert "countersign push" in said


def test_a_new_bundle(world, visit, desk) -> None:
    browser = visit("ana")
    data = {"name": "payments/front", "routes": "hello payments/voice:1 100", "rebuild": "propose"}
    answer = browser.submit("/bundles/new", data)
    assert (answer.status_code, answer.location) == (303, "/bundles/payments/front")
    assert routes(world, "payments/front") == [("hello", 1, 100, 0, 100)]


@pytest.mark.parametrize(("overrides", "status", "says"), [
    ({"name": "front"}, 422, "team/"),
    ({"name": EVIL}, 422, "team/"),
    ({"name": "payments/desk"}, 409, "There is a bundle payments/desk already."),
    ({"name": "lending/front"}, 403, "team you are not in"),
    ({"routes": "hello payments/voice:1 99"}, 422, "100"),
    ({"routes": "hello payments/voice:9 100"}, 404, "version 9"),
    ({"routes": "hello payments/other:1 100"}, 404, "payments/other"),
    ({"routes": "He!!o payments/voice:1 100"}, 422, "route"),
    ({"routes": EVIL}, 422, "1 is not route, version, weight"),
    ({"routes": " "}, 422, "Routes"),
    ({"rebuild": "never"}, 422, "Not a valid choice"),
])  # fmt: skip
def test_a_bundle_that_does_not_fit_keeps_the_text(world, visit, desk, overrides, status, says) -> None:
    browser = visit("ana")
    data = {"name": "payments/front", "routes": "hello payments/voice:1 100", "rebuild": "auto", **overrides}
    page = browser.get("/bundles/new").text
    with nothing_changes(world.database):
        answer = browser.post("/bundles/new", data={**hidden_fields(page), **data})
    assert answer.status_code == status
    assert says in words(answer.text)
    assert "<script>alert" not in answer.text
    if data["routes"].strip() and data["routes"] != EVIL:
        assert data["routes"] in answer.text


def test_changing_the_routes(world, visit, desk) -> None:
    browser = visit("ana")
    data = {"routes": "feedback payments/voice:1 100", "rebuild": "propose"}
    assert browser.submit(desk, data).status_code == 303
    assert routes(world) == [("feedback", 1, 100, 0, 100)]
    said = words(browser.get(desk).text)
    assert "Nothing was baked" in said
    assert "after the owner says yes" in said


def test_somebody_else_changed_it_meanwhile(world, visit, desk) -> None:
    browser = visit("ana")
    fields = hidden_fields(browser.get(desk).text)
    with world.write() as session:
        found = bundles.get(session, "payments/desk", actor=world.ben)
        only = [RouteSpec("feedback", [factories.pinned(2)])]
        bundles.change(session, found, actor=world.ben, routes=only, rebuild=Rebuild.AUTO, expected=found.revision)
    mine = "feedback payments/voice:1 100"
    answer = browser.post(desk, data={**fields, "routes": mine, "rebuild": "auto"})
    assert answer.status_code == 412
    said = words(answer.text)
    assert "It changed since you looked" in said
    assert mine in answer.text
    assert "payments/voice, version 2 Ready to submit 100 %" in said
    again = browser.post(desk, data={**hidden_fields(answer.text), "routes": mine, "rebuild": "auto"})
    assert again.status_code == 303


def test_a_session_that_ended_keeps_the_routes(world, visit, desk) -> None:
    browser = visit("ana")
    fields = hidden_fields(browser.get(desk).text)
    with world.database.write() as session:
        session.execute(update(LoginSession).values(ended_at=clock.now()))
    typed = "feedback payments/voice:1 100"
    page = browser.post(desk, data={**fields, "routes": typed, "rebuild": "auto"})
    assert page.status_code == 401
    data = {**hidden_fields(page.text), **kept_fields(page.text), "signin-username": "ana", "signin-password": PASSWORD}
    again = browser.post(desk, data=data)
    assert again.status_code == 200
    assert typed in again.text
    assert '<details class="fold" open>' in again.text
    assert len(routes(world)) == 2
    assert code_for("ana")


@pytest.mark.parametrize("username", ["kim", "lea", "cora"])
def test_others_do_not_change_bake_or_accept(world, visit, desk, username) -> None:
    browser = visit(username)
    with nothing_changes(world.database):
        data = {"routes": "feedback payments/voice:1 100", "rebuild": "auto", "revision": "1"}
        assert browser.act(desk, **data).status_code == 403
        assert browser.act(f"{desk}/bake").status_code == 403


# --------------------------------------------------------------------------------------------------------- baking


def test_baking_by_hand(world, visit, desk) -> None:
    browser = visit("ops")
    refused = browser.act(f"{desk}/bake")
    assert refused.status_code == 409
    assert "Route feedback waits for payments/voice:2, which is ready." in words(refused.text)
    browser.submit(desk, {"routes": "feedback payments/voice:1 100", "rebuild": "auto"})
    said = words(browser.get(desk).text)
    assert "Yes: every version is approved." in said
    assert "No worker is up, so it would wait for one." in said
    assert "Bake an image" in said
    answer = browser.act(f"{desk}/bake")
    assert answer.status_code == 303
    assert "Build of desk Waiting" in words(browser.get(answer.location).text)


def test_a_proposed_build_waits_for_its_owner(world: World, visit: Callable[[str], Browser]) -> None:
    with world.write() as session:
        factories.ready_version(session, world)
        factories.bundle(session, world, factories.pinned(1), rebuild=Rebuild.PROPOSE)
        factories.approve(session, world, world.version(session))
    browser = visit("ana")
    text = browser.get(DESK).text
    assert "Waits for the owner" in words(text)
    path = text[text.index("/bundles/proposals/") :].partition('"')[0]
    assert visit("lea").act(path).status_code == 403
    answer = browser.act(path)
    assert answer.status_code == 303
    assert "The build is in the queue." in words(browser.get(answer.location).text)
    assert browser.act(path).status_code == 409


def test_there_is_no_such_bundle_and_private_ones_look_the_same(world, visit) -> None:
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
    browser = visit("lea")
    assert browser.get("/bundles/payments/none").status_code == 404
    assert browser.get("/bundles/payments/secret").status_code == 404
    assert "payments/secret" not in browser.get("/bundles").text
    assert visit("ana").get("/bundles/payments/secret").status_code == 200


# --------------------------------------------------------------------------------------------------- rolling back


def test_the_previous_image_is_a_button_away(world: World, visit: Callable[[str], Browser]) -> None:
    digests = []
    for number in (1, 2):
        with world.write() as session:
            factories.approved_version(session, world)
            if number == 1:
                factories.bundle(session, world)
        with world.write() as session:
            build = bundles.bake(session, bundles.get(session, "payments/desk", actor=world.ana), actor=world.ana)
            digests.append(factories.released_image(session, build).digest)
        text = visit("ana").get(DESK).text
        assert ("Roll back" in text) is (number == 2)
    assert "Roll back" not in visit("kim").get(DESK).text
    assert visit("lea").act(f"{DESK}/rollback", seen=digests[1]).status_code == 403
    browser = visit("ana")
    assert browser.act(f"{DESK}/rollback", seen=digests[1]).status_code == 303
    text = browser.get(DESK).text
    assert "The previous image is the current one again." in words(text)
    assert digests[0] in text
    assert browser.act(f"{DESK}/rollback", seen=digests[1]).status_code == 412


# ------------------------------------------------------------------------------------------------------ experiments


TRIED = {"route": "feedback", "hypothesis": "Fewer wrong teams", "metric": "share of moved cases", "days": "14"}


def test_an_experiment_from_its_start_to_what_came_of_it(world, visit, desk) -> None:
    browser = visit("ana")
    assert "nobody has said what the split or the shadow is for" in words(browser.get(desk).text)
    answer = browser.submit(f"{desk}/experiments/new", TRIED)
    assert (answer.status_code, answer.location) == (303, f"{desk}#experiments")
    page = browser.get(desk).text
    assert "Fewer wrong teams Running Route feedback," in words(page)
    assert "Looked at: share of moved cases" in words(page)
    assert "End it now" not in words(visit("kim").get(desk).text)
    with world.read() as session:
        made = session.query(Experiment).one().id
    early = browser.submit(f"/bundles/experiments/{made}/conclusion", {"result": "too early"})
    assert (early.status_code, "running" in words(early.text)) == (409, True)
    ended = browser.post(f"/bundles/experiments/{made}/end", data=hidden_fields(page))
    assert ended.status_code == 303
    assert "The experiment on route feedback of payments/desk has ended" in words(browser.get("/").text)
    assert "Ended, not concluded" in words(browser.get(desk).text)
    assert browser.submit(f"/bundles/experiments/{made}/conclusion", {"result": "2 of 100 fewer"}).status_code == 303
    assert "Concluded" in words(browser.get(desk).text)
    assert "2 of 100 fewer" in words(browser.get(desk).text)


@pytest.mark.parametrize(("overrides", "status", "says"), [
    ({"hypothesis": " "}, 422, "Say what you expect."),
    ({"route": "other"}, 422, "Not a valid choice"),
    ({"days": "0"}, 422, "1 to 365 days"),
    ({"days": "soon"}, 422, "Not a valid integer"),
])  # fmt: skip
def test_an_experiment_that_does_not_fit_keeps_the_text(world, visit, desk, overrides, status, says) -> None:
    browser = visit("ana")
    page = browser.get(f"{desk}/experiments/new").text
    with nothing_changes(world.database):
        answer = browser.post(f"{desk}/experiments/new", data={**hidden_fields(page), **TRIED, **overrides})
    assert (answer.status_code, says in words(answer.text)) == (status, True)
    assert "share of moved cases" in answer.text
