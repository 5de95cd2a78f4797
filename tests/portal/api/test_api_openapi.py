"""The description: valid, as committed, complete, and kept by what is served."""

import gzip
import json
import re
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import checks

from portal.api import openapi
from portal.api.contract import OPERATIONS
from registry import proofs
from registry.orm.image import Build
from tests import factories

DATABASES = ["sqlite"]
COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"
EXAMPLES = 6


def no_fault_of_ours(_context, response, case):
    """Nothing of 500 and above, but what is described: a checkpoint that a worker has not signed yet."""
    assert response.status_code < 500 or str(response.status_code) in case.operation.definition.raw["responses"]


CHECKS = [
    no_fault_of_ours,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]
KNOWN = {"team": "payments", "name": "voice", "reference": "1", "step": "scan", "path": "model.joblib", "seq": 0}


def test_valid():
    validate(openapi.document())


def test_committed():
    """``python -m portal.api > docs/openapi.json`` brings it up to date."""
    assert COMMITTED.read_text() == openapi.text()


def test_served_to_anybody(app):
    answer = app.test_client().get("/api/v1/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.get_json() == json.loads(openapi.text())


def test_every_operation_says_what_it_is_what_it_answers_and_refuses():
    described = openapi.document()
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert len(operations) == len(OPERATIONS) == len({each["operationId"] for each in operations})
    for each in operations:
        assert each["summary"], each["operationId"]
        assert not each["summary"].endswith("."), each["operationId"]
    tags = {tag["name"]: tag["description"] for tag in described["tags"]}
    assert all(tags.values())
    assert {tag for each in operations for tag in each["tags"]} == tags.keys()


def test_the_page_tells_of_all_of_it(app):
    answer = app.test_client().get("/api")
    assert answer.status_code == 200
    text = answer.text
    for operation in OPERATIONS:
        assert f'id="{operation.name}"' in text
    for name, schema in openapi.document()["components"]["schemas"].items():
        if "properties" in schema:
            assert f'id="{name}"' in text
    for target in set(re.findall(r'href="#([^"]+)"', text)):
        assert f'id="{target}"' in text, target
    assert "http://cs.test/api/v1/whoami" in text
    assert "`" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)
    assert len(gzip.compress(answer.data)) < 40_000


def test_every_member_of_every_body_has_a_type():
    for name, schema in openapi.document()["components"]["schemas"].items():
        for member, described in schema.get("properties", {}).items():
            known = {"type", "$ref", "anyOf", "enum", "const", "items"} & described.keys()
            assert known or member in {"before", "after"}, (name, member)


@pytest.fixture
def api(app, world, caller, signer):
    """The description with the app behind it, something of every kind in the database, and a token for all of it."""
    with world.write() as session:
        factories.approved_version(session, world)
        factories.request_in_review(session, world)
        for role in ("auditor", "compliance"):
            person = factories.accounts.load_person(session, username="ana")
            grant = factories.accounts.grant_role(session, person, factories.Role(role), actor=world.root)
            if not grant.in_force:
                factories.accounts.confirm_role(session, grant, actor=world.rita)
        session.flush()
    token = caller(world.ana).token
    with world.write() as session:
        factories.released_image(session, session.query(Build).one())
        proofs.sign_checkpoint(session, signer)
    loaded = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    return loaded, {"Authorization": f"Bearer {token}"}


@pytest.mark.long
def test_what_is_served_is_what_is_described(api):
    """Bounded here; `schemathesis run docs/openapi.json --url ...` is the long form."""
    loaded, headers = api
    run = 0
    for result in loaded.get_all_operations():
        _hold(result.ok(), headers)
        run += 1
    assert run == len(OPERATIONS) - 1  # it leaves out the address where it found the description


def _hold(operation, headers):
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(), known=st.booleans())
    def holds(case, known):
        if known:  # else nearly every address is of nothing, and what is behind it is never reached
            case.path_parameters = {name: KNOWN.get(name, value) for name, value in case.path_parameters.items()}
        case.call_and_validate(headers=headers, checks=CHECKS)

    holds()
