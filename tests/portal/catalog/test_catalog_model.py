"""A model's page: the answer first, then how to use it; what its team may say of it."""

import re

import pytest

from registry import catalog, proofs, references
from tests import factories
from tests.factories import MODEL
from tests.portal.catalog.conftest import VOICE, bake, live, words

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def test_it_answers_in_this_order(ana, scene):
    said = words(ana.get(VOICE).text)
    wanted = [
        "Routes feedback",
        "May I use it?",
        "Approved for routing customer feedback, in production",
        "Not for scoring people",
        "Limits German",
        "Ask team payments, #voice",
        "Inputs and outputs",
        "Use this model",
        "Card",
    ]
    places = [said.index(part) for part in wanted]
    assert places == sorted(places)
    assert "until" in said.partition("Valid")[2][:10]


def test_it_says_who_signed(ana, scene):
    said = words(ana.get(VOICE).text)
    assert "vic approved as validator" in said
    assert "cora approved as compliance" in said


def test_snippets_name_the_route_and_are_pinned_by_digest(ana, scene):
    text = ana.get(VOICE).text
    sections = dict(re.findall(r'<section aria-label="([^"]+)">(.*?)</section>', text, re.DOTALL))
    assert set(sections) == {"Python", "curl", "Run", "Files"}
    assert "/v2/models/voice/versions/1/infer" in sections["curl"]
    assert scene.release in sections["Python"]
    assert f"countersign pull payments/voice@{scene.release}" in sections["Files"]
    assert scene.image in text, "the image is named by its whole digest"
    assert text.count('type="radio" name="use"') == 4, "tabs are radio buttons: they work without a script"
    assert "a process: weak isolation" in words(text)


def test_before_an_image_there_is_only_what_can_be_done(world, ana):
    with world.write() as session:
        factories.approved_version(session, world)
    text = ana.get(VOICE).text
    assert re.findall(r'<section aria-label="([^"]+)">', text) == ["Files"]
    assert "No image holds this version yet" in words(text)


def test_without_an_approval_it_says_no(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    said = words(ana.get(VOICE).text)
    assert "Nothing approved yet" in said
    assert "Not yet: no version is approved. The newest is version 1 , Ready to submit" in said
    assert "Use this model" not in said
    assert "of version 1, not approved" in said


def test_a_model_without_versions_says_how_to_push_one(world, ana):
    with world.write() as session:
        catalog.register_model(session, actor=world.ana, full_name="payments/idea")
    for tab in ("", "/versions", "/lineage"):
        assert "countersign push ./my-model --name payments/idea" in ana.get(f"/models/payments/idea{tab}").text, tab


def test_the_example_is_a_sample_row_only_when_synthetic_and_only_for_those_who_may_read_files(world, visit):
    with world.write() as session:
        card = factories.card(sample_kind="synthetic")
        factories.approve(session, world, factories.ready_version(session, world, card=card))
    bake(world)
    assert "my card is lost" in visit("ana").get(VOICE).text
    assert "my card is lost" not in visit("kim").get(VOICE).text
    with world.write() as session:
        card = factories.card(sample_kind="real")
        factories.approve(session, world, factories.ready_version(session, world, card=card))
    bake(world)
    assert "my card is lost" not in visit("ben").get(VOICE).text


TABS = ("", "/versions", "/lineage", "/consumers", "/activity", "/settings", "/compare", "/compare/1", "/compare/1...1")
PARTS = (
    "",
    "/submit",
    "/withdraw",
    "/log",
    "/status.json",
    "/lineage",
    "/lineage.json",
    "/reports/scan.json",
    "/files/model.joblib",
)


@pytest.mark.parametrize("username", ["lea", "kim", "vic", "cora", "aud", "ops", "root"])
def test_a_private_model_is_not_there_for_others(private, visit, username):
    browser = visit(username)
    missing = browser.get("/models/payments/missing")
    for path in (*(private + tab for tab in TABS), *(f"{private}/versions/1{part}" for part in PARTS)):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert (
            words(answer.text).replace("secret", "missing").split("request")[0]
            == words(missing.text).split("request")[0]
        )
    token = browser.token()
    for path in (
        "/versions",
        "/consumers",
        "/settings",
        "/versions/1/retry",
        "/versions/1/tags",
        "/aliases/champion/remove",
    ):
        answer = browser.post(
            private + path,
            data={"csrf_token": token, "alias": "a", "number": 1, "team": "lending", "purpose": "spying"},
        )
        assert answer.status_code in (404, 422), path
        assert "secret-plan" not in answer.text


@pytest.mark.parametrize("username", ["ana", "ben"])
def test_a_private_model_is_there_for_its_team(private, visit, username):
    browser = visit(username)
    for path in (*(private + tab for tab in TABS), f"{private}/versions/1", f"{private}/versions/1/files/model.joblib"):
        assert browser.get(path).status_code < 400, path


def test_settings_are_saved_and_on_record(world, ana, scene):
    answer = ana.submit(
        f"{VOICE}/settings", {"purpose": "Sorts mail", "task": "routing", "contact": "#mail", "visibility": "private"}
    )
    assert answer.status_code == 303
    with world.read() as session:
        model = catalog.get_model(session, MODEL, actor=world.ana)
        assert (model.purpose, model.task, model.contact, model.visibility) == (
            "Sorts mail",
            "routing",
            "#mail",
            "private",
        )
        assert proofs.timeline(session, [model.audit_ref()])[0][0].action == "model:changed"


def test_settings_saved_by_somebody_else_meanwhile_are_shown_before_they_are_replaced(world, ana, scene):
    page = ana.get(f"{VOICE}/settings").text
    seen = re.search(r'name="revision"[^>]*value="(\d+)"', page)[1]
    with world.write() as session:
        model = catalog.get_model(session, MODEL, actor=world.ana)
        catalog.describe(session, model, actor=world.ben, expected=model.revision, purpose="Ben's words")
    data = {"purpose": "Ana's words", "task": "", "contact": "", "visibility": "internal"}
    answer = ana.submit(f"{VOICE}/settings", data | {"revision": seen})
    assert answer.status_code == 412
    assert "purpose “Ben's words”" in words(answer.text)
    assert "Ana&#39;s words" in answer.text, "what was typed is still there"
    revision = re.search(r'name="revision"[^>]*value="(\d+)"', answer.text)[1]
    assert ana.submit(f"{VOICE}/settings", data | {"revision": revision}).status_code == 303


def test_only_the_team_may_change_settings(visit, scene):
    for username in ("lea", "cora", "root"):
        browser = visit(username)
        assert browser.get(f"{VOICE}/settings").status_code == 403
        answer = browser.act(f"{VOICE}/settings", purpose="mine now", visibility="private", revision="1")
        assert answer.status_code == 403


def test_too_long_a_purpose_is_marked_and_kept(ana, scene):
    answer = ana.submit(f"{VOICE}/settings", {"purpose": "x" * 501, "visibility": "internal"})
    assert answer.status_code == 422
    assert "x" * 501 in answer.text


def test_an_alias_is_set_moved_and_removed(ana, scene):
    page = f"{VOICE}/versions"
    assert ana.submit(page, {"alias": "champion", "number": "1"}).status_code == 303
    assert ana.submit(page, {"alias": "champion", "number": "2"}).status_code == 303
    text = ana.get(page).text
    assert "champion is version 2" in words(text)
    assert ana.get(f"{VOICE}/versions/champion").location == f"{VOICE}/versions/2"
    revision = re.search(r'name="revision" value="(\d+)"', text)[1]
    assert ana.act(f"{VOICE}/aliases/champion/remove", revision=revision).status_code == 303
    assert ana.get(f"{VOICE}/versions/champion").status_code == 404


@pytest.mark.parametrize(
    ("alias", "number", "said"),
    [
        ("approved", "1", "cannot be an alias"),
        ("Champion!", "1", "alias"),
        ("champion", "9", "no version 9"),
        ("champion", "", "Say which version"),
    ],
)
def test_a_refused_alias_says_why_and_keeps_what_was_typed(ana, scene, alias, number, said):
    answer = ana.submit(f"{VOICE}/versions", {"alias": alias, "number": number})
    assert answer.status_code in (404, 422)
    assert said in words(answer.text)
    assert f'value="{alias}"' in answer.text


def test_an_alias_set_from_an_old_page_is_refused(world, ana, scene):
    revision = re.search(r'name="revision"[^>]*value="(\d+)"', ana.get(f"{VOICE}/versions").text)[1]
    with world.write() as session:
        version = world.version(session, 1)
        references.set_alias(session, version, "other", actor=world.ben, expected=version.model.revision)
    answer = ana.submit(f"{VOICE}/versions", {"alias": "champion", "number": "1", "revision": revision})
    assert answer.status_code == 412
    assert "aliases" not in words(answer.text).partition("champion is")[2]


def test_a_use_is_declared_and_opens_the_files(visit, scene):
    kim = visit("kim")
    assert kim.get(f"{VOICE}/versions/1/files/model.joblib").status_code == 403
    assert "Nobody has declared a use" in kim.get(f"{VOICE}/consumers").text
    answer = kim.submit(f"{VOICE}/consumers", {"team": "lending", "purpose": "Sorting the inbox"}, page=VOICE)
    assert answer.status_code == 303
    assert "lending Sorting the inbox kim" in words(kim.get(f"{VOICE}/consumers").text)
    assert kim.get(f"{VOICE}/versions/1/files/model.joblib").status_code == 200


def test_a_use_of_another_team_is_refused(visit, scene):
    kim = visit("kim")
    answer = kim.submit(f"{VOICE}/consumers", {"team": "payments", "purpose": "Sorting the inbox"})
    assert answer.status_code == 422
    assert "Sorting the inbox" in answer.text


def test_somebody_without_a_team_is_told_so(visit, scene):
    assert "you are in none" in words(visit("aud").get(VOICE).text)


def test_activity_tells_what_happened_in_words(ana, scene):
    said = words(ana.get(f"{VOICE}/activity").text)
    for part in (
        "Version 2: submitted for review by ana: “please”",
        "Version 1: cora approved it: “I ran it on the October sample.”",
        "Version 1: checks passed",
        "Version 1: uploaded by ana",
        "Registered by ana",
    ):
        assert part in said


def test_nothing_that_is_uploaded_runs(world, ana):
    card = (
        factories.card(purpose=EVIL, inputs=EVIL, limits=EVIL, contact=EVIL)
        + f"\n{EVIL}\n\n[x](javascript:alert(1)) ![a](https://evil/x.png)\n"
    )
    with world.write() as session:
        version = factories.ready_version(
            session, world, card=card, params={EVIL: EVIL}, label=EVIL[:60], tags={EVIL: EVIL}
        )
        catalog.declare_use(
            session, version.model, factories.accounts.get_team(session, "payments"), actor=world.ana, purpose=EVIL
        )
    for path in (
        "",
        "/consumers",
        "/activity",
        "/settings",
        "/versions",
        "/versions/1",
        "/versions/1/submit",
        "/versions/1/lineage",
    ):
        text = ana.get(VOICE + path).text
        assert "alert(1)" in text, f"{path} shows what was typed"
        assert live(text) == [], path
