"""Models: finding, registering, describing, aliases; who sees a private one."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import accounts, catalog, references
from tests import databases, factories
from tests.portal.api.api_support import MODEL, V1, problem
from tests.support import nothing_changes


def test_register_and_show(ana):
    made = ana.post("/models", {"name": "payments/spam", "purpose": "Finds spam", "visibility": "private"})
    assert made.status_code == 201
    assert made.headers["Location"] == f"{V1}/models/payments/spam"
    document = made.get_json()
    assert document["url"] == "http://cs.test/models/payments/spam"
    assert (document["latest"], document["approved"], document["owner"]) == (None, None, "ana")
    shown = ana.get(made.headers["Location"])
    assert shown.get_json() == document
    assert shown.headers["ETag"] == made.headers["ETag"]


@pytest.mark.parametrize(
    ("who", "name", "status", "code"),
    [
        ("ana", "payments/voice", 409, "already-exists"),
        ("ana", "lending/voice", 403, "not-in-team"),
        ("ana", "ghosts/voice", 404, "not-found"),
        ("kim", "lending/voice", 403, "missing-role"),
    ],
)
def test_registering_refused_changes_nothing(world, caller, database, who, name, status, code):
    with world.write() as session:
        factories.checking_version(session, world)
    asking = caller(world.actors[who])
    asking.get("/whoami")  # stamps the token's last use
    with nothing_changes(database):
        problem(asking.post("/models", {"name": name}), status, code)


def test_describing_takes_the_revision_that_was_seen(ana):
    ana.post("/models", {"name": "payments/spam"})
    path = "/models/payments/spam"
    seen = ana.get(path).headers["ETag"]
    problem(ana.patch(path, {"purpose": "x"}), 428, "precondition-missing")
    changed = ana.patch(path, {"purpose": "Finds spam", "task": "text"}, headers={"If-Match": seen})
    assert changed.status_code == 200
    assert (changed.get_json()["purpose"], changed.get_json()["contact"]) == ("Finds spam", "")
    body = problem(ana.patch(path, {"purpose": "late"}, headers={"If-Match": seen}), 412, "stale")
    assert "revision" in body["detail"]
    both = f"{seen}, {changed.headers['ETag']}"
    assert ana.patch(path, {"contact": "#spam"}, headers={"If-Match": both}).status_code == 200
    assert ana.patch(path, {"visibility": "private"}, headers={"If-Match": "*"}).get_json()["visibility"] == "private"
    problem(ana.patch(path, {"purpose": "y"}, headers={"If-Match": 'W/"5"'}), 412, "stale")


def test_unchanged_is_not_sent_again(ana):
    ana.post("/models", {"name": "payments/spam"})
    seen = ana.get("/models/payments/spam")
    again = ana.get("/models/payments/spam", headers={"If-None-Match": seen.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", seen.headers["ETag"])
    ana.patch("/models/payments/spam", {"purpose": "new"}, headers={"If-Match": "*"})
    later = ana.get("/models/payments/spam", headers={"If-None-Match": seen.headers["ETag"]})
    assert later.status_code == 200


def test_a_private_model_looks_as_if_it_were_not_there(world, ana, lea):
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        version = factories.ready_version(session, world, model="payments/secret")
        factories.ready_version(session, world)
        factories.checking_version(
            session,
            world,
            sources=[factories.versions.lineage.Source("derived_from", "version", "payments/secret:1")],
        )
        job = factories.job_of(session, version.id)
    secret = f"{V1}/models/payments/secret"
    ghost = problem(lea.get(f"{V1}/models/payments/ghost"), 404, "not-found")
    for path in (
        "",
        "/versions",
        "/versions/1",
        "/versions/1/card",
        "/versions/1/files/model.joblib",
        "/versions/1/diff",
    ):
        assert ana.get(secret + path).status_code == 200, path
        assert problem(lea.get(secret + path), 404, "not-found")["title"] == ghost["title"]
    problem(lea.get(f"/jobs/{job.id}"), 404, "not-found")
    problem(lea.get("/bundles/payments/secret"), 404, "not-found")
    assert lea("HEAD", f"/blobs/{version.files[0].digest}").status_code == 404
    names = [item["name"] for item in lea.get("/models").get_json()["items"]]
    assert names == ["payments/voice"]
    assert "secret" not in lea.get("/bundles").text
    lineage = f"{MODEL}/versions/2/lineage"
    assert ana.get(lineage).get_json()["edges"][0]["ref"] == "payments/secret:1"
    assert "secret" not in lea.get(lineage).text
    assert "secret" not in lea.get(f"{MODEL}/versions/2/diff?base=1").text


def test_searching(world, ana):
    with world.write() as session:
        for name in ("payments/voice", "payments/spam"):
            factories.checking_version(session, world, model=name)
        factories.approved_version(session, world, model="payments/fraud")

    def names(query):
        return [item["name"] for item in ana.get(f"/models?{query}").get_json()["items"]]

    assert set(names("q=rout+feed")) == {"payments/voice", "payments/spam", "payments/fraud"}
    assert names("q=spa") == ["payments/spam"]
    assert names("stage=approved") == ["payments/fraud"]
    assert names("team=lending") == []
    assert names("task=text-classification&q=voice") == ["payments/voice"]


def test_alias_follows_the_model_that_was_seen(world, ana, lea):
    with world.write() as session:
        factories.ready_version(session, world)
        factories.ready_version(session, world)
    alias = f"{MODEL}/aliases/champion"
    seen = {"If-Match": ana.get(MODEL).headers["ETag"]}
    problem(ana.put(alias, json={"number": 1}), 428, "precondition-missing")
    problem(lea.put(alias, json={"number": 1}, headers=seen), 403, "not-in-team")
    moved = ana.put(alias, json={"number": 1}, headers=seen)
    assert moved.get_json() == {"alias": "champion", "ref": "payments/voice:1", "number": 1}
    assert ana.get(f"{MODEL}/versions/champion").get_json()["aliases"] == ["champion"]
    problem(ana.put(alias, json={"number": 2}, headers=seen), 412, "stale")
    onward = {"If-Match": moved.headers["ETag"].split(".")[0] + '"'}
    assert ana.put(alias, json={"number": 2}, headers=onward).get_json()["number"] == 2
    problem(ana.put(alias, json={"number": 3}, headers={"If-Match": "*"}), 404, "not-found")
    problem(ana.put(f"{MODEL}/aliases/approved", json={"number": 1}, headers={"If-Match": "*"}), 422, "invalid")
    problem(ana.delete(alias), 428, "precondition-missing")
    assert ana.delete(alias, headers={"If-Match": ana.get(MODEL).headers["ETag"]}).status_code == 204
    problem(ana.delete(alias, headers={"If-Match": "*"}), 404, "not-found")
    problem(ana.get(f"{MODEL}/versions/champion"), 404, "not-found")


def test_an_alias_that_a_bundle_follows_stays(world, ana):
    with world.write() as session:
        version = factories.ready_version(session, world)
        references.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
        session.flush()
        factories.bundle(session, world, factories.following("champion"))
    problem(ana.delete(f"{MODEL}/aliases/champion", headers={"If-Match": "*"}), 403, "forbidden")
    assert ana.get(f"{MODEL}/versions/champion").status_code == 200


def test_pages_are_linked_and_bounded(world, ana):
    with world.write() as session:
        for number in range(5):
            catalog.register_model(session, actor=world.ana, full_name=f"payments/m{number}")
    first = ana.get("/models?limit=2&team=payments")
    body = first.get_json()
    assert [item["name"] for item in body["items"]] == ["payments/m4", "payments/m3"]
    link = first.headers["Link"]
    assert link.endswith('; rel="next"')
    second = ana.get(link[1 : link.index(">")])
    assert [item["name"] for item in second.get_json()["items"]] == ["payments/m2", "payments/m1"]
    last = ana.get(f"/models?limit=2&team=payments&cursor={second.get_json()['next']}")
    assert [item["name"] for item in last.get_json()["items"]] == ["payments/m0"]
    assert last.get_json()["next"] is None
    assert "Link" not in last.headers


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(0, 9), limit=st.integers(1, 4), born=st.lists(st.integers(0, 2), max_size=6))
def test_every_model_is_listed_once_while_others_are_born(world, ana, before, limit, born):
    mark = accounts.vault.new_secret()[:6].lower().replace("_", "x").replace("-", "y")

    def register(name):
        with world.write() as session:
            catalog.register_model(session, actor=world.ana, full_name=f"payments/{name}", purpose=f"is {mark}")

    there = [f"a{mark}{number}" for number in range(before)]
    for name in there:
        register(name)
    seen, cursor, waves = [], "", iter(born)
    while True:
        page = ana.get(f"/models?q={mark}&limit={limit}&cursor={cursor}").get_json()
        assert len(page["items"]) <= limit
        seen += [item["name"].partition("/")[2] for item in page["items"]]
        for number in range(next(waves, 0)):
            register(f"b{mark}{len(seen)}x{number}")
        if not page["next"]:
            break
        cursor = page["next"]
    assert [name for name in seen if name in there] == there[::-1]
    assert len(seen) == len(set(seen))


def test_one_of_two_who_register_the_same_at_once_is_told(world, caller):
    answers = []
    callers = [caller(world.ana), caller(world.ben)]
    gate = threading.Barrier(2)

    def register(asking):
        gate.wait()
        answers.append(asking.post("/models", {"name": "payments/race"}).status_code)

    threads = [threading.Thread(target=register, args=(each,)) for each in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, 409]


def test_a_page_takes_as_many_statements_as_a_model(world, ana):
    with world.write() as session:
        for number in range(12):
            factories.checking_version(session, world, model=f"payments/m{number}")
    ana.get("/whoami")  # stamps the token's last use
    with databases.statements(world.database) as few:
        ana.get("/models?limit=2")
    with databases.statements(world.database) as many:
        assert len(ana.get("/models?limit=200").get_json()["items"]) == 12
    assert len(few) == len(many)
