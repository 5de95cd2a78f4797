"""Versions: pushing them, reading them by every reference, comparing them, asking for their release."""

import pytest

from registry import checking, lineage, references
from tests import databases, factories
from tests.portal.api.api_support import FIRST, MODEL, problem
from tests.support import nothing_changes


def content(world, actor=None, **changes):
    """A push as JSON, its files stored."""
    with world.write() as session:
        pushed = factories.push(session, world, actor=actor or world.ana)
    return {
        "files": [{"path": path, "digest": digest} for path, digest in pushed.files.items()],
        "format": "joblib",
        "card": factories.card(),
        "label": "1.4.0",
        "metrics": [{"name": "accuracy", "value": 0.91, "dataset": "october", "higher_is_better": True}],
        "params": {"C": 1.0, "nested": {"a": [1, None, "x"]}},
        "tags": {"branch": "main"},
        "lineage": [
            {"relation": "trained_on", "kind": "dataset", "ref": "feedback/october", "digest": "sha256:" + "d" * 64}
        ],
        "environment": {
            "python": "3.11.7",
            "implementation": "cpython",
            "platform": "linux-x86_64",
            "distributions": {"scikit-learn": "1.9.1"},
        },
        "create_model": True,
    } | changes


def test_push_then_the_same_again(world, ana):
    sent = content(world)
    made = ana.post(f"{MODEL}/versions", sent)
    assert made.status_code == 201
    assert made.headers["Location"] == FIRST
    told = made.get_json()
    assert (told["ref"], told["stage"], told["label"]) == ("payments/voice:1", "checking", "1.4.0")
    assert told["status"] == "It waits for a worker to check it."
    assert told["next_step"]
    assert told["params"] == sent["params"]
    assert told["tags"] == {"branch": "main"}
    assert told["job"]["state"] == "queued"
    assert {file["path"]: file["digest"] for file in told["files"]} == {
        file["path"]: file["digest"] for file in sent["files"]
    }
    assert told["metrics"][0]["declared_by"] == "ana"
    assert ana.get(f"/jobs/{told['job']['id']}").get_json()["subject"] == FIRST
    again = ana.post(f"{MODEL}/versions", sent)
    assert (again.status_code, again.get_json()) == (200, told)
    assert "Location" not in again.headers
    with world.read() as session:
        assert world.version(session).environment == sent["environment"]


@pytest.mark.parametrize(
    ("who", "change", "status", "code"),
    [
        ("ana", {"create_model": False}, 404, "not-found"),
        ("ana", {"format": "pickle"}, 422, "invalid"),
        ("ana", {"card": "no head"}, 422, "invalid"),
        ("ana", {"author": "ben"}, 403, "forbidden"),
        ("lea", {}, 403, "not-in-team"),
        ("kim", {}, 403, "missing-role"),
        (
            "ana",
            {"lineage": [{"relation": "derived_from", "kind": "version", "ref": "payments/ghost:1"}]},
            404,
            "not-found",
        ),
        ("ana", {"files": [{"path": "a", "digest": "sha256:" + "0" * 64}] * 2}, 422, "invalid"),
        ("ana", {"params": {"x": 2**60}}, 422, "invalid"),
    ],
)
def test_a_push_refused_changes_nothing(world, caller, database, who, change, status, code):
    sent = content(world, **change)
    asking = caller(world.actors[who])
    asking.get("/whoami")
    with nothing_changes(database):
        assert problem(asking.post(f"{MODEL}/versions", sent), status, code)["detail"]


def test_bytes_that_somebody_else_sent_are_not_there(world, ana):
    sent = content(world, actor=world.lea)
    body = problem(ana.post(f"{MODEL}/versions", sent), 404, "not-found")
    assert "PUT /api/v1/blobs" in body["hint"]


def test_a_pipeline_names_the_author(world, app):
    from registry import tokens
    from tests.portal.api.api_support import Caller

    with world.write() as session:
        service = factories.service(session, world)
        session.flush()
        _, secret = tokens.create(session, actor=world.ana, name="ci", scopes=["read", "push"], days=1, service=service)
        session.flush()
        acting = tokens.authenticate(session, secret)[1]
    told = Caller(app.test_client(), secret).post(f"{MODEL}/versions", content(world, actor=acting, author="ben"))
    assert (told.get_json()["author"], told.get_json()["uploaded_by"]) == ("ben", "payments/pipeline")


def test_every_reference_leads_to_the_version(world, ana):
    with world.write() as session:
        version = factories.approved_version(session, world)
        references.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
        artifact, release = version.artifact_digest, version.release_digest
    for reference in ("1", "approved", "latest", "champion", artifact, release):
        told = ana.get(f"{MODEL}/versions/{reference}").get_json()
        assert told["ref"] == "payments/voice:1"
    assert told["stage"] == "approved"
    assert told["status"].startswith("Approved until ")
    assert told["request"]["state"] == "approved"
    assert [check["step"] for check in told["checks"]] == list(checking.STEPS)
    assert ana.get(f"/reviews/{told['request']['id']}").status_code == 200
    assert ana.get(MODEL).get_json()["approved"] == 1


def test_unchanged_is_not_sent_again(world, ana):
    with world.write() as session:
        version = factories.ready_version(session, world)
    seen = ana.get(FIRST).headers["ETag"]
    assert ana.get(FIRST, headers={"If-None-Match": seen}).status_code == 304
    assert ana("HEAD", FIRST, headers={"If-None-Match": seen}).status_code == 304
    with world.write() as session:
        factories.submit(session, world, world.version(session, version.number))
    assert ana.get(FIRST, headers={"If-None-Match": seen}).status_code == 200


def test_list(world, ana):
    with world.write() as session:
        for _ in range(3):
            factories.ready_version(session, world)
    page = ana.get(f"{MODEL}/versions?limit=2")
    assert [item["number"] for item in page.get_json()["items"]] == [3, 2]
    rest = ana.get(f"{MODEL}/versions?limit=2&cursor={page.get_json()['next']}").get_json()
    assert [item["number"] for item in rest["items"]] == [1]
    assert rest["items"][0]["status"] == "Checked, and not yet submitted for review."
    assert rest["items"][0]["metrics"][0]["declared_by"] == "ana"


def test_as_many_statements_whatever_there_is_to_tell(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
        many = [factories.versions.MetricClaim(f"metric {number}", number) for number in range(30)]
        factories.ready_version(session, world, metrics=many, tags={f"t{number}": "x" for number in range(20)})
    ana.get("/whoami")
    with databases.statements(world.database) as few:
        ana.get(FIRST)
    with databases.statements(world.database) as asked:
        assert len(ana.get(f"{MODEL}/versions/2").get_json()["metrics"]) == 30
    assert len(asked) == len(few)
    with databases.statements(world.database) as one:
        ana.get(f"{MODEL}/versions?limit=1")
    with databases.statements(world.database) as two:
        assert len(ana.get(f"{MODEL}/versions").get_json()["items"]) == 2
    assert len(two) == len(one)


def test_card(world, ana):
    with world.write() as session:
        factories.checking_version(session, world, card=factories.card() + "Größe – très bien\n")
    answer = ana.get(f"{FIRST}/card")
    assert answer.mimetype == "text/markdown"
    assert answer.text.endswith("Größe – très bien\n")


def test_lineage(world, ana):
    with world.write() as session:
        commit = lineage.Source("built_from", "commit", "git@example/voice#abc")
        factories.approved_version(session, world, sources=[commit])
        parent = lineage.Source("derived_from", "version", "payments/voice:1")
        factories.checking_version(session, world, sources=[parent])
    told = ana.get(f"{FIRST}/lineage").get_json()
    assert told["edges"] == [
        {"relation": "built_from", "kind": "commit", "ref": "git@example/voice#abc", "digest": None}
    ]
    assert [(edge["kind"], edge["ref"]) for edge in told["used_by"]] == [("version", "payments/voice:2")]
    assert ana.get(f"{MODEL}/versions/2/lineage").get_json()["edges"][0]["ref"] == "payments/voice:1"


def test_diff_is_against_the_last_approved_unless_told(world, ana):
    with world.write() as session:
        factories.approved_version(session, world, params={"C": 1.0})
        factories.ready_version(session, world, params={"C": 2.0})
        changed = factories.card(purpose="Routes every message")
        factories.ready_version(
            session,
            world,
            params={"C": 2.0},
            card=changed,
            metrics=[factories.versions.MetricClaim("accuracy", 0.5, "october")],
        )
        factories.ready_version(session, world, model="payments/other", content=b"elsewhere")
    first = ana.get(f"{FIRST}/diff").get_json()
    assert first["base"] is None
    assert {change["section"] for change in first["changes"]} >= {"metrics", "params", "files"}
    told = ana.get(f"{MODEL}/versions/3/diff").get_json()
    assert (told["ref"], told["base"]) == ("payments/voice:3", "payments/voice:1")
    sections = {change["section"]: change for change in told["changes"]}
    assert (sections["params"]["path"], sections["params"]["before"], sections["params"]["after"]) == ("C", 1.0, 2.0)
    assert (sections["metrics"]["before"], sections["metrics"]["after"]) == (0.91, 0.5)
    assert sections["card"]["before"] == "purpose: 'Routes feedback'"
    assert sections["card"]["after"] == "purpose: 'Routes every message'"
    near = ana.get(f"{MODEL}/versions/3/diff?base=2").get_json()
    assert {change["section"] for change in near["changes"]} == {"metrics", "card", "files"}
    assert ana.get(f"{MODEL}/versions/3/diff?base=payments/other:1").get_json()["base"] == "payments/other:1"
    assert ana.get(f"{MODEL}/versions/3/diff?base=3").get_json()["changes"] == []
    problem(ana.get(f"{MODEL}/versions/3/diff?base=9"), 404, "not-found")


def test_reports(world, ana, lea):
    with world.write() as session:
        factories.ready_version(session, world)
    assert ana.get(f"{FIRST}/reports/scan").get_json()["schema"] == "countersign.report/1"
    assert lea.get(f"{FIRST}/reports/scan").status_code == 200
    assert ana.get(f"{FIRST}/reports/predict").status_code == 200
    problem(lea.get(f"{FIRST}/reports/predict"), 403, "forbidden")
    assert "scan, lock" in problem(ana.get(f"{FIRST}/reports/tests"), 404, "not-found")["hint"]


def test_submit_and_withdraw(world, ana, lea):
    with world.write() as session:
        factories.ready_version(session, world)
    asked = {"note": "please", "uses": ["routing"], "environments": ["production"], "limits": ["German"]}
    problem(lea.post(f"{FIRST}/submit", asked), 403, "not-in-team")
    problem(ana.post(f"{FIRST}/submit", asked | {"uses": []}), 422, "invalid")
    made = ana.post(f"{FIRST}/submit", asked)
    assert made.status_code == 201
    review = made.get_json()
    assert review["url"] == f"http://cs.test/reviews/{review['id']}"
    assert made.headers["Location"] == f"/api/v1/reviews/{review['id']}"
    assert (review["state"], review["requested_by"], review["uses"]) == ("open", "ana", ["routing"])
    assert {gate["state"] for gate in review["gates"]} == {"ok", "wait"}
    assert [entry["kind"] for entry in review["dossier"]] == ["request"]
    problem(ana.post(f"{FIRST}/submit", asked), 409, "wrong-stage")
    assert ana.get(FIRST).get_json()["stage"] == "in_review"
    back = ana.post(f"{FIRST}/withdraw", {"reason": "too early"})
    assert (back.status_code, back.get_json()["stage"]) == (200, "ready")
    assert "withdrawn" in back.get_json()["status"]
    problem(ana.post(f"{FIRST}/withdraw", {"reason": "again"}), 409, "wrong-stage")


def test_withdrawing_what_was_never_asked(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    problem(ana.post(f"{FIRST}/withdraw"), 409, "wrong-stage")


def test_retry(world, ana, lea):
    with world.write() as session:
        factories.failed_version(session, world)
    problem(lea.post(f"{FIRST}/retry"), 403, "not-in-team")
    answer = ana.post(f"{FIRST}/retry")
    assert (answer.status_code, answer.get_json()["stage"]) == (200, "checking")
    problem(ana.post(f"{FIRST}/retry"), 409, "wrong-stage")


def test_no_call_decides(app):
    rules = [str(rule) for rule in app.url_map.iter_rules() if str(rule).startswith("/api/")]
    assert rules
    assert not [rule for rule in rules if any(word in rule for word in ("decide", "decision", "approve", "reject"))]
