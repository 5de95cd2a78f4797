"""Every refusal as a page and as problem+json, with what happened, what to do, and the request id."""

import inspect

import pytest
from flask import Flask, abort
from sqlalchemy.exc import OperationalError

from portal import access, create_app, errors
from registry import errors as domain
from registry.db import Database
from registry.errors import RegistryError
from registry.settings import Settings
from tests.portal.conftest import SECRET_KEY, Browser

KINDS = [kind for kind in vars(domain).values() if inspect.isclass(kind) and issubclass(kind, RegistryError)]
STATUSES = [400, 401, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416, 422, 428, 429, 500, 501, 503]


@pytest.fixture(scope="module")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """A portal with a page more, which fails in every way."""
    folder = tmp_path_factory.mktemp("broken")
    made = create_app(Settings(data_dir=folder, secret_key=SECRET_KEY), Database(f"sqlite:///{folder}/none.db"))

    @made.get("/broken/<name>")
    @made.get("/api/broken/<name>", endpoint="broken_api")
    @access.public
    def broken(name: str) -> str:
        if name == "crash":
            raise ZeroDivisionError("a secret detail")
        if name == "database":
            raise OperationalError("SELECT secret", {}, Exception("gone"))
        if name.isdecimal():
            abort(int(name))
        raise getattr(domain, name)(
            "it happened to payments/voice", hint="Do this next.", errors=[("/name", "is wrong")]
        )

    return made


@pytest.fixture
def broken(app: Flask) -> Flask:
    """The portal with that page, on this test's database; what it raises is answered."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


def test_every_error_has_a_status_of_its_own_choosing() -> None:
    for kind in KINDS:
        assert any(parent in errors.STATUS for parent in kind.__mro__[:-3]), f"{kind.__name__} has no status"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_refusal_as_page(broken: Flask, client: Browser, kind: type[RegistryError]) -> None:
    answer = client.get(f"/broken/{kind.__name__}")
    assert answer.status_code == errors.status_of(kind("x"))
    assert answer.mimetype == "text/html"
    assert kind.title in answer.text.replace("&#39;", "'")
    assert "It happened to payments/voice." in answer.text
    assert "Do this next." in answer.text
    assert kind.code in answer.text
    assert answer.headers["X-Request-Id"] in answer.text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_refusal_as_problem(broken: Flask, client: Browser, kind: type[RegistryError]) -> None:
    answer = client.get(f"/api/broken/{kind.__name__}")
    assert answer.mimetype == "application/problem+json"
    assert answer.json == {
        "type": f"/docs/errors#{kind.code}",
        "title": kind.title,
        "status": answer.status_code,
        "detail": "it happened to payments/voice",
        "code": kind.code,
        "hint": "Do this next.",
        "request_id": answer.headers["X-Request-Id"],
        "errors": [{"pointer": "/name", "detail": "is wrong"}],
    }


@pytest.mark.parametrize("status", STATUSES)
def test_http_errors_have_pages_and_problems(broken: Flask, client: Browser, status: int) -> None:
    page = client.get(f"/broken/{status}")
    assert page.status_code == status
    assert page.headers["X-Request-Id"] in page.text
    assert "<h1>" in page.text
    problem = client.get(f"/api/broken/{status}")
    assert problem.status_code == status
    assert problem.json["status"] == status
    assert problem.json["code"]


def test_nothing_there(client: Browser) -> None:
    answer = client.get("/no/such/page")
    assert answer.status_code == 404
    assert "Nothing is at /no/such/page." in answer.text


def test_wrong_method_says_what_is_allowed(client: Browser) -> None:
    answer = client.post("/healthz")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_a_form_that_is_too_large(client: Browser) -> None:
    answer = client.post("/login", data={"signin-username": "x" * (5 << 20)})
    assert answer.status_code == 413
    assert "Too large" in answer.text


def test_a_crash_tells_nothing_but_the_request_id(broken: Flask, client: Browser) -> None:
    answer = client.get("/broken/crash")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert answer.headers["X-Request-Id"] in answer.text
    assert client.get("/api/broken/crash").json["code"] == "internal-error"


def test_a_database_that_is_away(broken: Flask, client: Browser) -> None:
    answer = client.get("/broken/database")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "SELECT" not in answer.text


def test_an_error_page_that_cannot_be_drawn_falls_back(broken: Flask, client: Browser, monkeypatch) -> None:
    def fail() -> None:
        raise RuntimeError("no header today")

    monkeypatch.setitem(broken.jinja_env.globals, "theme", fail)
    answer = client.get("/broken/404")
    assert answer.status_code == 404
    assert "Nothing is here" in answer.text


def test_unauthenticated_problem_names_the_scheme(broken: Flask, client: Browser) -> None:
    assert client.get("/api/broken/TokenRefused").headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", ["LockedOut", "Unavailable", "StorageFull"])
def test_later_is_told_when(broken: Flask, client: Browser, name: str) -> None:
    assert int(client.get(f"/broken/{name}").headers["Retry-After"]) > 0
