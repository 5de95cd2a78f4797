"""Every operation against the role table: every role, no token, a token without the scope."""

import dataclasses
import re

import pytest

from portal.api.contract import OPERATIONS
from registry import builds, rebuilds
from registry.access import ALL_SCOPES
from registry.orm.account import Role
from registry.orm.image import Build
from tests import factories
from tests.portal.api import api_role_table as table
from tests.portal.api.api_support import problem

DATABASES = ["sqlite"]
PEOPLE = {
    "scientist": "ana",
    "validator": "vic",
    "compliance": "cora",
    "consumer": "kim",
    "auditor": "aud",
    "operator": "ops",
    "administrator": "root",
    "none": "nil",
}


@pytest.fixture
def example(world):
    """Makes the address of an operation, of things that are there: an approved version 1, and version 2 in review."""
    with world.write() as session:
        factories.approved_version(session, world)
        review = factories.request_in_review(session, world).id
        build = session.query(Build).one()
        digest = factories.released_image(session, build).digest
        factories.lay_platform(session)
        platform = factories.offer_platform(session)
        version = world.version(session)
        job = factories.job_of(session, version.id).id
        known = {
            "token_id": "0" * 32,
            "team": "payments",
            "name": "voice",
            "reference": "1",
            "alias": "champion",
            "step": "scan",
            "path": "model.joblib",
            "review_id": review,
            "build_id": build.id,
            "job_id": job,
            "seq": 0,
            "experiment_id": "0" * 32,
            "advisory_id": "GHSA-none-0000-0000",
            "change_id": factories.propose(session, world, platform).id,
            "rebuild_id": rebuilds.request(
                session, builds.get_image(session, digest, actor=world.ana), actor=world.ana
            ).id,
        }
        blob = version.files[0].digest

    def make(operation):
        digests = blob if operation.tag == "blobs" else digest
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str({**known, "digest": digests}[found[1]]), operation.rule)

    return make


def test_every_operation_has_a_row_and_every_row_an_operation(app):
    names = {operation.name for operation in OPERATIONS}
    assert names - table.OPERATIONS.keys() == set(), "add a row to tests/portal/api/api_role_table.py"
    assert table.OPERATIONS.keys() - names == set(), "these rows name no operation"
    served = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith(("/api/", "/.well-known/"))}
    assert served == {f"api.{name.replace('.', '_')}" for name in names}


def test_roles(world, caller, example):
    # Who lost every role still has the tokens they made before.
    once = dataclasses.replace(world.nil, roles=frozenset({Role.CONSUMER}))
    callers = {role: caller(once if name == "nil" else world.actors[name]) for role, name in PEOPLE.items()}
    wrong = []
    for operation in OPERATIONS:
        allowed = table.OPERATIONS[operation.name]
        for role, asking in callers.items():
            status = asking(operation.method, example(operation)).status_code
            refused = status in (401, 403)
            if refused != (allowed is not None and role not in allowed):
                wrong.append((operation.name, role, status))
    assert wrong == []


def test_without_a_token(caller, example):
    nobody = caller(None)
    for operation in OPERATIONS:
        answer = nobody(operation.method, example(operation))
        if operation.public:
            assert answer.status_code == 200, operation.name
        elif operation.method == "HEAD":
            assert answer.status_code == 401, operation.name
        else:
            problem(answer, 401, "not-signed-in")


def test_without_the_scope(world, caller, example):
    able = {"audit": world.aud}
    for scope in ALL_SCOPES:
        asked = [operation for operation in OPERATIONS if operation.scope == scope]
        assert asked, f"no operation asks for the scope {scope}"
        lacking = caller(able.get(scope, world.ana), *(other for other in ALL_SCOPES if other != scope))
        for operation in asked:
            answer = lacking(operation.method, example(operation))
            if operation.method == "HEAD":
                assert answer.status_code == 403, operation.name
            else:
                problem(answer, 403, "missing-scope")


def test_every_change_asks_what_was_seen(ana, example):
    for operation in OPERATIONS:
        if operation.method in ("PUT", "PATCH", "DELETE") and operation.raw is None:
            assert operation.guarded, operation.name


def test_a_browsers_session_opens_nothing_but_the_upload(browser, world, example):
    client = browser(world.ana)
    for operation in OPERATIONS:
        answer = client.open(example(operation), method=operation.method)
        if operation.public:
            assert answer.status_code == 200
        elif operation.browser:
            assert answer.status_code in (200, 400), operation.name  # 400: no token of a form came with it
        else:
            assert answer.status_code in (400, 401, 403), operation.name
