"""Every refusal has one shape, whatever layer it comes from, and nothing a caller sends breaks the server."""

import json

import pytest

from portal import errors
from tests import factories
from tests.portal.api.api_support import FIRST, problem

DATABASES = ["sqlite"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not-found"),
        ("GET", "/models/payments", 404, "not-found"),
        ("GET", "/models/payments/ghost", 404, "not-found"),
        ("GET", "/models/payments/voice/versions/latest", 404, "not-found"),
        ("GET", "/reviews/not-an-id", 404, "not-found"),
        ("GET", "/builds/01a206569e7c7c8a9ae3bd64e228c3cf", 404, "not-found"),
        ("GET", "/jobs/01a20656-9e7c-7c8a-9ae3-bd64e228c3cf", 404, "not-found"),
        ("GET", "/images/sha256:00", 404, "not-found"),
        ("GET", "/bundles/payments/ghost", 404, "not-found"),
        ("GET", "/audit/entries/0/proof", 403, "missing-role"),
        ("DELETE", "/models/payments/voice", 405, "method-not-allowed"),
        ("PUT", "/whoami", 405, "method-not-allowed"),
    ],
)
def test_nothing_there_or_not_like_that(ana, method, path, status, code):
    answer = ana(method, path)
    problem(answer, status, code)
    if status == 405:
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/models/payments/%00", "/models?q=%00", "/models/payments/voice/versions/%00"])
def test_a_nul_never_reaches_the_database(ana, path):
    assert ana.get(path).status_code in (404, 422)


@pytest.mark.parametrize(
    "reference", ["0", "99999999999999999999", "٣", "-1", "sha256:", "sha256:" + "f" * 64, "a b", "no-such-alias"]
)
def test_references_to_nothing(world, ana, reference):
    with world.write() as session:
        factories.checking_version(session, world)
    problem(ana.get(f"/models/payments/voice/versions/{reference}"), 404, "not-found")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=many", "/limit"),
        ("colour=red", "/colour"),
        ("q=a&q=b", "/q"),
        ("stage=ripe", "/stage"),
        ("cursor=nonsense", "/cursor"),
        ("cursor=e30", "/cursor"),
        ("cursor=WzEsMl0", "/cursor"),
        ("cursor=WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwgIjAxYTIwNjU2OWU3YzdjOGE5YWUzYmQ2NGUyMjhjM2NmIl0", "/cursor"),
    ],
)
def test_a_query_that_does_not_fit(ana, query, pointer):
    body = problem(ana.get(f"/models?{query}"), 422, "invalid")
    assert [error["pointer"] for error in body["errors"]] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"name": "payments/a", "name": "payments/b"}',
        b'{"name": "payments/a", "purpose": "\\u0000"}',
        b'{"name": "payments/a", "purpose": "\\ud800"}',
        b'{"name": "payments/a", "purpose": NaN}',
        b'{"name": "payments/a", "purpose": 1}',
        b'{"name": "payments/a", "colour": "red"}',
        b'{"name": "Payments/A"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_body_that_does_not_fit(ana, body):
    answer = ana("POST", "/models", data=body, content_type="application/json")
    assert problem(answer, 422, "invalid")["hint"]


def test_a_body_of_another_type(ana):
    answer = ana("POST", "/models", data=b"name=payments/a", content_type="application/x-www-form-urlencoded")
    problem(answer, 415, "unsupported-media-type")


def test_a_body_too_large(ana):
    answer = ana("POST", "/models", data=b" " * (5 << 20), content_type="application/json")
    problem(answer, 413, "too-large")


def test_members_at_fault_are_pointed_at(ana):
    sent = {
        "files": [{"path": "model.joblib", "digest": "sha256:short"}, {"path": "", "digest": "sha256:" + "0" * 64}],
        "format": "hdf5",
        "card": 5,
        "metrics": [{"name": "accuracy", "value": "0.9"}],
        "params": {},
        "tags": {"a/b~c": 1},
    }
    body = problem(ana.post("/models/payments/voice/versions", sent), 422, "invalid")
    assert {error["pointer"]: error["detail"] for error in body["errors"]} == {
        "/files/0/digest": "must match ^sha256:[0-9a-f]{64}$",
        "/files/1/path": "must not be empty",
        "/format": "must be 'joblib', 'pickle', 'skops', 'onnx', 'lightgbm' or 'xgboost'",
        "/card": "must be text",
        "/metrics/0/value": "must be a number",
        "/tags/a~1b~0c": "must be text",
    }


def test_a_body_that_is_no_object_and_a_member_that_is_none(ana):
    assert problem(ana.post("/models", ["a"]), 422, "invalid")["detail"] == "the body: must be an object"
    body = problem(ana.post("/models", {"name": "payments/a", "colour": 1}), 422, "invalid")
    assert "/colour: is no member here" in body["detail"]


def test_the_id_of_a_request_is_echoed(ana):
    answer = ana.get("/models/payments/ghost", headers={"X-Request-Id": "from-the-caller-1"})
    assert problem(answer, 404, "not-found")["request_id"] == "from-the-caller-1"


def test_a_fault_of_ours_tells_nothing_of_the_inside(app, world, ana, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("SELECT secret FROM inside")

    monkeypatch.setattr("portal.api.versions.reading.read_version", broken)
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = ana.get(FIRST)
    body = problem(answer, 500, "internal-error")
    assert "inside" not in json.dumps(body)


def test_every_refusal_of_the_domain_has_a_status():
    from registry.errors import RegistryError

    def below(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    assert {errors.status_of(kind("x")) for kind in below(RegistryError) if kind.__module__ == "registry.errors"} >= {
        401,
        403,
        404,
        409,
        412,
        413,
        422,
        428,
        429,
        500,
        503,
        507,
    }
