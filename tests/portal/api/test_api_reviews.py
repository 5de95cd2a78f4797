"""Requests for release: reading and discussing them. Deciding is not here."""

import pytest

from registry.orm.approval import Outcome
from tests import databases, factories
from tests.portal.api.api_support import problem


@pytest.fixture
def review(world):
    with world.write() as session:
        return factories.request_in_review(session, world).id


def test_open_ones_oldest_first_ended_ones_newest_first(world, ana):
    with world.write() as session:
        ids = [str(factories.request_in_review(session, world).id) for _ in range(3)]
        factories.decide(session, world.request(session, 2), world.vic, Outcome.REJECT)
        factories.decide(session, world.request(session, 3), world.vic, Outcome.REQUEST_CHANGES)
    assert [item["id"] for item in ana.get("/reviews").get_json()["items"]] == ids[:1]
    done = ana.get("/reviews?state=done").get_json()["items"]
    assert [(item["id"], item["state"]) for item in done] == [(ids[2], "changes_requested"), (ids[1], "rejected")]
    assert done[1]["decisions"][0]["person"] == "vic"
    problem(ana.get("/reviews?state=mine"), 422, "invalid")


def test_show(world, ana, review):
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic)
    told = ana.get(f"/reviews/{review.hex}").get_json()
    assert told["id"] == str(review)
    assert (told["ref"], told["policy"]) == ("payments/voice:1", "standard revision 1")
    assert [(gate["code"], gate["state"]) for gate in told["gates"]] == [
        ("checks", "ok"),
        ("two-people", "wait"),
        ("compliance", "wait"),
        ("advisories", "ok"),
    ]
    assert all(gate["why"] for gate in told["gates"])
    signed = told["decisions"][0]
    assert (signed["person"], signed["outcome"], signed["voided_at"]) == ("vic", "approve", None)
    assert told["uses"] == ["routing customer feedback"]


def test_comment(world, ana, lea, caller, review):
    path = f"/reviews/{review}/comments"
    made = ana.post(path, {"text": "Please look at October."})
    assert made.status_code == 201
    entry = made.get_json()
    assert (entry["kind"], entry["author"], entry["position"]) == ("comment", "ana", 1)
    told = ana.get(f"/reviews/{review}").get_json()
    assert told["dossier"][-1] == entry
    assert told["dossier_digest"] == entry["digest"]
    assert caller(world.cora, "read", "submit").post(path, {"text": "I did."}).status_code == 201
    problem(lea.post(path, {"text": "And me?"}), 403, "forbidden")
    problem(ana.post(path, {"text": ""}), 422, "invalid")
    problem(caller(world.ana, "read").post(path, {"text": "x"}), 403, "missing-scope")
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic, Outcome.REJECT)
    problem(ana.post(path, {"text": "too late"}), 409, "wrong-stage")


def test_a_page_takes_as_many_statements_as_one(world, ana):
    with world.write() as session:
        for _ in range(5):
            factories.decide(session, factories.request_in_review(session, world), world.vic)
    ana.get("/whoami")
    with databases.statements(world.database) as one:
        ana.get("/reviews?limit=1")
    with databases.statements(world.database) as all_of_them:
        assert len(ana.get("/reviews").get_json()["items"]) == 5
    assert len(all_of_them) == len(one)


def _gate(told, code):
    return {gate["code"]: gate["state"] for gate in told["gates"]}[code]


def test_answering_what_the_checks_noticed(world, ana, lea, caller):
    noticed = [{"code": "personal-data", "message": "It holds values like an IBAN, as DE******00."}]
    with world.write() as session:
        version = factories.checking_version(session, world)
        factories.check(session, version, notices=noticed)
        review = factories.submit(session, world, factories.reload(session, version, actor=world.ana)).id
    path = f"/reviews/{review}"
    told = ana.get(path).get_json()
    assert [(item["code"], item["must_answer"]) for item in told["notices"]] == [("personal-data", True)]
    assert _gate(told, "notices") == "wait"
    problem(ana.post(f"{path}/answers", {"about": "nothing", "text": "Fine."}), 422, "invalid")
    problem(
        caller(world.cora, "read", "submit").post(f"{path}/answers", {"about": "personal-data", "text": "Fine."}),
        403,
        "missing-role",
    )
    made = ana.post(f"{path}/answers", {"about": "personal-data", "text": "Agreed in ticket 81."})
    assert made.status_code == 201
    assert (made.get_json()["kind"], made.get_json()["about"]) == ("answer", "personal-data")
    assert _gate(ana.get(path).get_json(), "notices") == "ok"
