"""Speaking to the API in tests, and what every refusal must look like."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests import factories

V1 = "/api/v1"
MODEL = f"{V1}/models/{factories.MODEL}"
FIRST = f"{MODEL}/versions/1"


class Caller:
    """A program with a token: paths are below /api/v1, ``json`` is sent as it is."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self._client = client
        self.token = token

    def __call__(self, method: str, path: str, **sent: Any) -> TestResponse:
        headers = dict(sent.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        path = path if path.startswith(("/api", "/.well-known")) else V1 + path
        return self._client.open(path, method=method, headers=headers, **sent)

    def get(self, path: str, **sent: Any) -> TestResponse:
        return self("GET", path, **sent)

    def post(self, path: str, json: Any = None, **sent: Any) -> TestResponse:
        return self("POST", path, json={} if json is None else json, **sent)

    def put(self, path: str, **sent: Any) -> TestResponse:
        return self("PUT", path, **sent)

    def patch(self, path: str, json: Any, **sent: Any) -> TestResponse:
        return self("PATCH", path, json=json, **sent)

    def delete(self, path: str, **sent: Any) -> TestResponse:
        return self("DELETE", path, **sent)


def problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The RFC 9457 body of a refusal, after checking that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    body: dict[str, Any] = answer.get_json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert isinstance(body["errors"], list)
    return body
